//! One file per subcommand: its arguments, and how the rest of the crate is put to work for it.

pub(crate) mod completions;
pub(crate) mod upstream;
