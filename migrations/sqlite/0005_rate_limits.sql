-- When the next turn of each rate limit is that all processes share.
create table rate_limits (
    name text primary key,
    next_turn integer not null
) strict, without rowid;
