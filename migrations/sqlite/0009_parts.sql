-- Runs of a part of a pipeline take data from earlier runs, which are kept for that long.

create index runs_of_parts on runs (pipeline) where kind = 'manual' and json_extract(trigger_data, '$.part') is not null;
