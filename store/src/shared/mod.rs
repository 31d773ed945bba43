//! Parts of the store that are the same on both databases but for their statements.
//!
//! sqlx binds and reads with the types of one database, so that such a part is a macro: it is expanded once for each store.
//! The dialect brings its statements (`$sql`), which take the same parameters in the same order and give the same
//! columns, and how it takes values (`$values`: `moment`, `lasting`, `texts`). A store brings `reader()`, where reading
//! statements go, and `writer()`, the connection of one that writes.

mod models;
mod outbox;
mod runs;
mod triggers;

pub(crate) use models::models;
pub(crate) use outbox::outbox;
pub(crate) use runs::runs;
pub(crate) use triggers::triggers;
