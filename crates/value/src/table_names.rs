use crate::TableNumber;

/// What a table number stands for, as far as `v.id(…)` is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind<'a> {
    /// A user table, or a virtual table by its virtual name (`_storage`).
    User(&'a str),
    /// A system table that users cannot name.
    System,
}

/// Knows the active tables of one namespace.
pub trait TableNames {
    /// Returns the table with this number, or `None` if there is no active one.
    fn name_of(&self, number: TableNumber) -> Option<TableKind<'_>>;
}
