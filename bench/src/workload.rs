//! The kinds of traffic that proxies are compared under.

use clap::ValueEnum;

/// One kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Workload {
    /// 1 KiB answers over keep-alive connections, the fewest headers.
    #[value(name = "1k")]
    Small,
    /// The same with the twelve headers a browser sends.
    #[value(name = "1k-headers")]
    BrowserHeaders,
    /// 100 KiB answers over keep-alive connections.
    #[value(name = "100k")]
    Large,
    /// A new client connection for every 1 KiB answer.
    #[value(name = "close")]
    Close,
    /// 1 KiB answers over kept TLS 1.3 connections.
    #[value(name = "tls")]
    Tls,
    /// HTTP/2 without TLS from the client, HTTP/1.1 to the upstream.
    #[value(name = "h2")]
    Http2,
}

impl Workload {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 6] = [
        Self::Small,
        Self::BrowserHeaders,
        Self::Large,
        Self::Close,
        Self::Tls,
        Self::Http2,
    ];

    /// The name in tables, JSON and options.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "1k",
            Self::BrowserHeaders => "1k-headers",
            Self::Large => "100k",
            Self::Close => "close",
            Self::Tls => "tls",
            Self::Http2 => "h2",
        }
    }

    /// What it is, for a chart's reader.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "1 KiB, keep-alive",
            Self::BrowserHeaders => "1 KiB, 12 browser headers",
            Self::Large => "100 KiB, keep-alive",
            Self::Close => "new connection per request",
            Self::Tls => "TLS 1.3, keep-alive",
            Self::Http2 => "HTTP/2 in, HTTP/1.1 out",
        }
    }

    /// The path to ask for.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Large => "/100k",
            _ => "/1k",
        }
    }

    /// Request headers beyond `Host`.
    pub(crate) fn headers(self) -> &'static [&'static str] {
        match self {
            Self::BrowserHeaders => &BROWSER_HEADERS,
            Self::Close => &["Connection: close"],
            _ => &[],
        }
    }
}

/// What Chromium sends for a page's own fetch.
const BROWSER_HEADERS: [&str; 12] = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/141.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=6f1c0c5a9f3b4b0a8a4f8f6f2f1f7d61; theme=dark; consent=necessary%2Cstatistics",
    "Referer: https://shop.example/catalogue/shoes?colour=blue&size=42&page=3",
    "sec-ch-ua: \"Chromium\";v=\"141\", \"Not?A_Brand\";v=\"8\"",
    "sec-ch-ua-mobile: ?0",
    "sec-ch-ua-platform: \"Linux\"",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for workload in Workload::ALL {
            assert_eq!(Workload::from_str(workload.name(), false), Ok(workload));
        }
    }
}
