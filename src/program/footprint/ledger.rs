//! Sums of bytes by name, and what lies between two of them.

/// Bytes by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// What was added up.
    pub title: String,
    /// Names and bytes; no name twice.
    pub items: Vec<(String, u64)>,
}

/// One name in two sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What differs.
    pub name: String,
    /// Its bytes in the first sum; 0 if it is not there.
    pub from: u64,
    /// Its bytes in the second.
    pub to: u64,
}

impl Sum {
    /// A sum of these items. Those of equal name are added up.
    pub fn new(title: &str, items: impl IntoIterator<Item = (String, u64)>) -> Self {
        let mut sum = Self {
            title: title.to_owned(),
            items: Vec::new(),
        };
        for (name, bytes) in items {
            match sum.items.iter_mut().find(|(there, _)| *there == name) {
                Some((_, there)) => *there += bytes,
                None => sum.items.push((name, bytes)),
            }
        }
        sum
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The bytes of one name; 0 if it is not there.
    pub fn get(&self, name: &str) -> u64 {
        let item = self.items.iter().find(|(there, _)| there == name);
        item.map_or(0, |&(_, bytes)| bytes)
    }

    /// Every name whose bytes differ in `to`. The changes add up to the difference of the two sums: nothing is left over.
    pub fn changes(&self, to: &Sum) -> Vec<Change> {
        let new = to
            .items
            .iter()
            .filter(|(name, _)| self.items.iter().all(|(there, _)| there != name));
        let names = self.items.iter().chain(new).map(|(name, _)| name);
        names
            .map(|name| Change {
                name: name.clone(),
                from: self.get(name),
                to: to.get(name),
            })
            .filter(|change| change.from != change.to)
            .collect()
    }
}

impl Change {
    /// Bytes more, or less.
    pub fn by(&self) -> i128 {
        i128::from(self.to) - i128::from(self.from)
    }
}
