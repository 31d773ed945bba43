-- What tasks have left for their next run. It outlives the runs, so no row names one.
create table task_states (
    pipeline text not null,
    task text not null,
    element integer not null,
    state text not null,
    primary key (pipeline, task, element)
) strict, without rowid;
