use std::{collections::BTreeMap, ops::Deref};

use crate::{CodedError, Value, check_field_name};

/// An object: field names in byte order, each with its value.
///
/// Names from outside go through [`Object::try_insert`]; the trusted constructors only assert the rule in debug builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object(BTreeMap<String, Value>);

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// Inserts a field after checking its name; returns the value it replaces.
    pub fn try_insert(
        &mut self,
        name: impl Into<String>,
        value: Value,
    ) -> Result<Option<Value>, CodedError> {
        let name = name.into();
        check_field_name(&name)?;
        Ok(self.0.insert(name, value))
    }

    /// Inserts a field whose name is known to be valid; returns the value it replaces.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) -> Option<Value> {
        let name = name.into();
        debug_assert!(
            check_field_name(&name).is_ok(),
            "invalid field name {name:?} from trusted code"
        );
        self.0.insert(name, value.into())
    }

    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.get_mut(name)
    }

    pub fn into_map(self) -> BTreeMap<String, Value> {
        self.0
    }
}

impl Deref for Object {
    type Target = BTreeMap<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(fields: I) -> Self {
        let mut object = Self::new();
        for (name, value) in fields {
            object.insert(name, value);
        }
        object
    }
}

impl<K: Into<String>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Object {
    fn from(fields: [(K, V); N]) -> Self {
        fields.into_iter().collect()
    }
}

impl IntoIterator for Object {
    type Item = (String, Value);
    type IntoIter = std::collections::btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
