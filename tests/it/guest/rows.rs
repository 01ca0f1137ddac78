//! The rows of results that the programs of `tests/guest` print, see `guest::row` there.

/// A row: its keys and values.
struct Row(Vec<(String, String)>);

/// The rows that a program has printed.
pub struct Rows(Vec<Row>);

impl Rows {
    /// Reads the rows in `text`. Other lines are for people.
    pub fn read(text: &str) -> Self {
        Self(text.lines().filter_map(Row::read).collect())
    }

    /// Returns the values of a key, or panics if no row has it.
    #[track_caller]
    pub fn values(&self, key: &str) -> Vec<&str> {
        let values: Vec<_> = self.0.iter().filter_map(|row| row.value(key)).collect();
        assert!(!values.is_empty(), "no row has the key {key}");
        values
    }

    /// Returns the sum of a count over all rows that have it.
    #[track_caller]
    pub fn count(&self, key: &str) -> usize {
        self.values(key).into_iter().map(number).sum()
    }

    /// Returns a count of the row whose first value is `name`.
    #[track_caller]
    pub fn count_of(&self, name: &str, key: &str) -> usize {
        let is_its = |row: &&Row| row.0.first().is_some_and(|(_, first)| first == name);
        let value = self.0.iter().find(is_its).and_then(|row| row.value(key));
        number(value.unwrap_or_else(|| panic!("no row {name} has the key {key}")))
    }
}

#[track_caller]
fn number(value: &str) -> usize {
    value.parse().expect("a number")
}

impl Row {
    /// Reads a line, or returns `None` if it is not a row.
    fn read(mut line: &str) -> Option<Self> {
        let mut pairs = vec![];
        while !line.is_empty() {
            let (key, rest) = line.split_once('=')?;
            let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            if key.is_empty() || !key.chars().all(is_word) {
                return None;
            }
            let (value, rest) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find(' ').unwrap_or(rest.len())),
            };
            pairs.push((key.to_owned(), value.to_owned()));
            line = rest.trim_start();
        }
        (!pairs.is_empty()).then_some(Self(pairs))
    }

    fn value(&self, key: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(other, _)| other == key)
            .map(|(_, value)| value.as_str())
    }
}
