-- When the next turn of each rate limit is that all processes share.
create table pipectl.rate_limits (
    name text primary key,
    next_turn timestamptz not null
);
