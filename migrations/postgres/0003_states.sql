-- What tasks have left for their next run. It outlives the runs, so no row names one.
create table pipectl.task_states (
    pipeline text not null,
    task text not null,
    element bigint not null,
    state json not null,
    primary key (pipeline, task, element)
);
