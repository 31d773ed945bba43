-- Finds what tasks with `cache` have put out.
create index task_outputs_cache on pipectl.task_outputs ((output ->> 'cache')) where output ->> 'cache' is not null;
