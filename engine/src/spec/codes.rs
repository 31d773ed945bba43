//! The codes of complaints: stable, documented in `docs/diagnostics.md`.

/// What a code stands for.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The code.
    pub code: &'static str,
    /// What it says, in a few words.
    pub meaning: &'static str,
    /// Something that earns it.
    pub example: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $meaning:literal, $example:literal;)+) => {
        $(#[doc = $meaning] pub const $name: &str = $code;)+

        /// All codes.
        pub const ALL: &[Code] = &[$(Code { code: $code, meaning: $meaning, example: $example }),+];
    };
}

codes! {
    UNREADABLE = "P001", "the file cannot be read", "a file that is not UTF-8, or greater than 4 MiB";
    SYNTAX = "P002", "the file is not YAML 1.2", "a tab as indentation; `{path: ${{ params.x }}}` without quotes";
    DUPLICATE_KEY = "P003", "a key appears twice", "two tasks called `load`";
    BOMB = "P004", "the file is nested too deep, or its aliases repeat too much", "aliases of aliases of aliases";
    EMPTY = "P005", "the file is empty", "a file with nothing but comments";
    UNKNOWN_KEY = "P010", "a key that is not ours", "`retries: 3` (it is `retry: {limit: 3}`)";
    UNKNOWN_KIND = "P011", "a kind of work that does not exist", "`extrct: csv`";
    UNKNOWN_OPERATOR = "P012", "an operator that does not exist", "`extract: cvs`";
    UNKNOWN_SETTING = "P013", "a setting that the operator does not have", "`with: {pth: data.csv}`";
    MISSING_SETTING = "P014", "a setting that the operator needs", "`extract: csv` without `path`";
    WRONG_TYPE = "P015", "a value of the wrong type", "`with: {path: 7}`; `retry: often`";
    NOT_A_CHOICE = "P016", "a value that is not one of the choices", "`mode: upsrt`";
    OUT_OF_RANGE = "P017", "a value that is too small, too great, too short or too long", "`folds: 1`";
    SETTING = "P018", "settings that the operator refuses", "`mode: upsert` without `key`";
    MISSING_KEY = "P019", "a key that must be there", "a pipeline without `tasks`";
    UNKNOWN_TASK = "P020", "a task that does not exist", "`from: custmers`";
    CYCLE = "P021", "tasks that wait for each other, or pipelines that start each other", "`a` needs `b`, `b` needs `a`";
    SELF_REFERENCE = "P022", "a task that waits for itself", "`a: {needs: a}`";
    UNKNOWN_DATASET = "P023", "a dataset that the task does not put out", "`from: parts.tain`";
    WRONG_INPUTS = "P024", "too many or too few inputs, or wrong names", "`load: csv` without `from`";
    INPUT_CLASH = "P025", "two inputs of the same name", "`from: [a.train, b.train]`";
    NAME = "P026", "a name that is not `[a-z][a-z0-9_]*`", "a task called `My-Task`";
    NAME_FILE = "P027", "a pipeline whose name is not its file's", "`name: churn` in `sales.yaml`";
    SENTENCE = "P028", "a task that does not begin with its kind and operator", "a task without `extract:`, `load:`, …";
    EXPRESSION = "P030", "an expression that cannot be read", "`${{ params. }}`";
    UNKNOWN_NAME = "P031", "a name that an expression cannot see", "`${{ parms.x }}`";
    UNKNOWN_PARAM = "P032", "a parameter that the pipeline does not have", "`${{ params.treshold }}`";
    UNKNOWN_FUNCTION = "P033", "a filter, test or function that does not exist", "`${{ params.x | uper }}`";
    UNKNOWN_OUTPUT = "P034", "an output that the task does not have", "`${{ tasks.arrived.fle }}`";
    EXPRESSION_TYPE = "P035", "an expression of the wrong type", "a text parameter where a number is wanted";
    EXPRESSION_IN_SQL = "P036", "an expression in SQL where no value can stand", "`where name = '${{ params.x }}'`";
    EXPRESSION_IN_SCRIPT = "P037", "an expression in a script", "`script: echo ${{ params.x }}`";
    NO_INTERVAL = "P038", "`interval` in a pipeline that has none", "`${{ interval.start }}` without `schedule`";
    OUTSIDE_FOREACH = "P039", "`item` or `index` outside of `foreach`", "`${{ item }}` in a task that is not repeated";
    ENV_NOT_ALLOWED = "P040", "an environment variable that `pipectl.yaml` does not list under `env`", "`${{ env.HOME }}`";
    EXPRESSION_FAILS = "P041", "an expression that has no value", "`${{ 1 / 0 }}`";
    NO_EXPRESSION = "P042", "an expression where none can stand", "`from: ${{ params.x }}`";
    UNKNOWN_CONNECTION = "P050", "a connection that the project does not have", "`connection: warehose`";
    UNKNOWN_POOL = "P051", "a pool that the project does not have", "`pool: gpu`";
    UNKNOWN_PIPELINE = "P052", "a pipeline that the project does not have", "`run: pipeline` with `{pipeline: dialy}`; `schedule: {after: dialy}`";
    UNKNOWN_FEATURE_VIEW = "P053", "a feature view that the project does not have", "`views: [custmer_bills]`";
    UNSET_CONNECTION = "P054", "a connection that the project has, but not here", "its address is `{env: NAME}`, and `NAME` is not set";
    UNREACHABLE = "P055", "what a task needs cannot be reached (`validate --online`)", "a wrong password";
    DURATION = "P060", "not a duration", "`timeout: 10`";
    SIZE = "P061", "not a size", "`memory: lots`";
    CRON = "P062", "not a cron line", "`cron: 61 * * * *`";
    NEVER_FIRES = "P063", "a schedule that never fires", "`cron: 0 0 30 2 *`";
    TIMEZONE = "P064", "a time zone that does not exist", "`timezone: Europe/Berln`";
    TIME = "P065", "not a date or moment", "`start: tomorrow`";
    SCHEDULE = "P066", "a schedule that says too much or too little", "`schedule: {cron: …, every: 1h}`";
    PARAM = "P070", "a parameter that contradicts itself", "`{type: integer, default: many}`";
    UNUSED_PARAM = "P071", "a parameter that nothing reads (warning)", "a parameter left over from an earlier version";
    NOT_PASSED_ON = "P072", "`persist: false` where the dataset has to be kept", "`persist: false` of a task that two others read";
    NOT_BUILT = "P080", "a key of ours that is not built yet", "`executor: slurm`";
    VERSION = "P081", "a version of the dialect that this program does not know", "`version: 2`";
    TEST = "P090", "a test that cannot be", "`expect` of a task that does not exist";
    PROJECT = "P100", "a setting of the project that cannot be", "`pools: {gpu: 0}`";
    FEATURE_VIEW = "P101", "a feature view that contradicts itself", "`source: {path: a.csv, table: b}`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        for pair in ALL.windows(2) {
            assert!(pair[0].code < pair[1].code, "{}", pair[1].code);
        }
    }
}
