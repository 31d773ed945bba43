-- Who works off a backfill takes the runs, too, that its runs have started: here the program's own statement says so.
select 1;
