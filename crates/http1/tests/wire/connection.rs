//! A connection's bytes read to the end with `http1`, in whatever pieces they come.

use http1::{
    Body, Decoder, Event, Limits, RequestHead, RequestKind, ResponseHead, Slots, TargetForm,
    Trailers, Version,
};

pub(crate) type Fields = Vec<(String, Vec<u8>)>;

/// What was read, with adjacent content joined: what a caller sees, less how it was cut.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Request(Request),
    Response(Response),
    Data(Vec<u8>),
    Trailers(Fields),
    End,
    /// Refused; which of two faults is met first may depend on the cut.
    Refused,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) form: TargetForm,
    pub(crate) path_and_query: String,
    pub(crate) authority: String,
    pub(crate) version: Version,
    pub(crate) headers: Fields,
    pub(crate) body: Body,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Body,
    pub(crate) keep_alive: bool,
}

/// Which side's messages are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Requests,
    Responses(RequestKind),
}

pub(crate) fn owned<'b>(fields: impl Iterator<Item = (&'b str, &'b [u8])>) -> Fields {
    fields
        .map(|(name, value)| (name.to_owned(), value.to_vec()))
        .collect()
}

pub(crate) fn request(head: &RequestHead<'_, '_>) -> Request {
    Request {
        method: head.method().to_owned(),
        form: head.target_form(),
        path_and_query: head.path_and_query().to_owned(),
        authority: head.authority().to_owned(),
        version: head.version(),
        headers: owned(head.headers()),
        body: head.body(),
        keep_alive: head.keep_alive(),
        upgrade: head.upgrade().map(<[u8]>::to_vec),
    }
}

pub(crate) fn response(head: &ResponseHead<'_, '_>) -> Response {
    Response {
        status: head.status(),
        headers: owned(head.headers()),
        body: head.body(),
        keep_alive: head.keep_alive(),
    }
}

/// Reads `pieces`, one after the other as they would come from a socket, then the end of the
/// stream.
pub(crate) fn read<'p>(
    side: Side,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Item> {
    let mut reader = Reader {
        side,
        limits,
        decoder: None,
        last: false,
        items: Vec::new(),
    };
    let mut buf = Vec::new();
    // No bytes come from a socket only at its end.
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        buf.extend_from_slice(piece);
        while let Some(consumed) = reader.step(&buf) {
            buf.drain(..consumed);
        }
    }
    if let Some(decoder) = &mut reader.decoder
        && !decoder.is_ended()
        && decoder.eof().is_ok()
    {
        reader.items.push(Item::End);
    }
    reader.items
}

struct Reader<'l> {
    side: Side,
    limits: &'l Limits,
    decoder: Option<Decoder>,
    /// No message follows the present one.
    last: bool,
    items: Vec<Item>,
}

impl Reader<'_> {
    /// Reads one thing; returns the bytes it took, or `None` when more are needed or nothing can
    /// follow.
    fn step(&mut self, buf: &[u8]) -> Option<usize> {
        if self.items.last() == Some(&Item::Refused) {
            return None;
        }
        let consumed = if self.decoder.is_some() {
            self.body(buf)
        } else {
            self.head(buf)
        };
        let Ok(consumed) = consumed else {
            self.items.push(Item::Refused);
            return None;
        };
        assert!(
            consumed.is_none_or(|consumed| consumed <= buf.len()),
            "took more than it was given"
        );
        consumed
    }

    fn head(&mut self, buf: &[u8]) -> Result<Option<usize>, ()> {
        if self.last {
            return Ok(None);
        }
        let mut slots = Slots::new();
        let (item, len, body, keep_alive) = match self.side {
            Side::Requests => {
                let Some(head) = RequestHead::parse(buf, self.limits, &mut slots).map_err(drop)?
                else {
                    return Ok(None);
                };
                (
                    Item::Request(request(&head)),
                    head.len(),
                    head.body(),
                    head.keep_alive(),
                )
            }
            Side::Responses(kind) => {
                let Some(head) =
                    ResponseHead::parse(buf, kind, self.limits, &mut slots).map_err(drop)?
                else {
                    return Ok(None);
                };
                self.last = !head.is_informational();
                (
                    Item::Response(response(&head)),
                    head.len(),
                    head.body(),
                    true,
                )
            }
        };
        self.last |= !keep_alive;
        self.items.push(item);
        self.decoder = Some(Decoder::new(body, self.limits));
        Ok(Some(len))
    }

    fn body(&mut self, buf: &[u8]) -> Result<Option<usize>, ()> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(None);
        };
        let step = decoder.decode(buf).map_err(drop)?;
        match step.event {
            // Framing may have been taken although there is nothing to tell.
            Event::NeedMore if step.consumed == 0 => return Ok(None),
            Event::NeedMore => {}
            Event::Data(range) => {
                assert!(range.end <= step.consumed && !range.is_empty());
                match self.items.last_mut() {
                    Some(Item::Data(data)) => data.extend_from_slice(&buf[range]),
                    _ => self.items.push(Item::Data(buf[range].to_vec())),
                }
            }
            Event::Trailers(range) => {
                assert!(range.end <= step.consumed);
                self.items
                    .push(Item::Trailers(owned(Trailers::new(&buf[range]).iter())));
            }
            Event::End => {
                self.items.push(Item::End);
                self.decoder = None;
            }
        }
        Ok(Some(step.consumed))
    }
}
