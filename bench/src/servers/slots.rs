//! Connections by token.

/// Numbered places. A place emptied while a batch of events is handled is given out again only
/// after the batch, since a later event of the batch may still mean the one who left.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
    emptied: Vec<usize>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            emptied: Vec::new(),
        }
    }

    /// The place that the next `insert` fills.
    pub(crate) fn next(&self) -> usize {
        self.free.last().copied().unwrap_or(self.places.len())
    }

    pub(crate) fn insert(&mut self, value: T) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(value);
            place
        } else {
            self.places.push(Some(value));
            self.places.len() - 1
        }
    }

    /// Places there have been, free ones included.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn at(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.as_mut()
    }

    pub(crate) fn remove(&mut self, place: usize) {
        if self
            .places
            .get_mut(place)
            .is_some_and(|slot| slot.take().is_some())
        {
            self.emptied.push(place);
        }
    }

    /// Call after each batch of events.
    pub(crate) fn end_of_batch(&mut self) {
        self.free.append(&mut self.emptied);
    }
}
