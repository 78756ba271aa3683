//! Addresses, socket permissions and bounds on unsent replies.

use super::Refusal;
use super::kind::{Form, Kind, whole};
use super::memory;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Longest path of a unix socket: `sockaddr_un` has 108 bytes, one of them for the final zero.
pub(super) const UNIX_PATH_BYTES_MAX: usize = 107;

/// More addresses than anybody needs; the listener array has this size.
const BIND_ADDRESSES_MAX: usize = 16;

/// The one class of clients whose output is bounded by a setting.
const OUTPUT_CLASS: &str = "normal";

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindAddress {
    /// The address; the unspecified one means every address of its family.
    pub ip: IpAddr,
    /// Written with a leading `-`: skipped when this host does not have it.
    pub optional: bool,
}

/// Addresses separated by blanks or commas.
pub(super) struct AddressList;

impl Kind for AddressList {
    type Value = Vec<BindAddress>;

    fn parse(&self, text: &str) -> Result<Vec<BindAddress>, Refusal> {
        let mut addresses = Vec::new();
        for word in text.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            let address = address(word)?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.len() {
            0 => Err(Refusal::new("no address to listen on", "name one, or set port to 0 to serve no TCP")),
            count if count > BIND_ADDRESSES_MAX => Err(Refusal::new(
                format!("{count} addresses, and at most {BIND_ADDRESSES_MAX} are listened on"),
                "use *",
            )),
            _ => Ok(addresses),
        }
    }

    fn show(&self, value: &Vec<BindAddress>) -> String {
        value.iter().map(written).collect::<Vec<_>>().join(" ")
    }

    fn shape(&self) -> &'static str {
        "ADDRESSES"
    }

    fn example(&self) -> String {
        "* -::*".into()
    }
}

/// An address with its port, or none.
pub(super) struct Endpoint;

impl Kind for Endpoint {
    type Value = Option<SocketAddr>;

    fn parse(&self, text: &str) -> Result<Option<SocketAddr>, Refusal> {
        match text.trim() {
            "" => Ok(None),
            // With port 0 the kernel chooses one, and nobody would know which.
            text => match text.parse::<SocketAddr>() {
                Ok(address) if address.port() != 0 => Ok(Some(address)),
                Ok(_) | Err(_) => Err(Refusal::new(
                    format!("'{text}' is no address with a port"),
                    "write it as in 127.0.0.1:9121 or [::1]:9121",
                )),
            },
        }
    }

    fn show(&self, value: &Option<SocketAddr>) -> String {
        value.map(|address| address.to_string()).unwrap_or_default()
    }

    fn shape(&self) -> &'static str {
        "ADDRESS:PORT"
    }

    fn example(&self) -> String {
        "[::1]:9100".into()
    }
}

fn address(word: &str) -> Result<BindAddress, Refusal> {
    let (name, optional) = match word.strip_prefix('-') {
        Some(name) => (name, true),
        None => (word, false),
    };
    let ip = match name {
        "*" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "::*" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        name => name.parse(),
    };
    let ip = ip.map_err(|_| {
        let mend = "write IP addresses such as 127.0.0.1 or ::1, * for all of IPv4, ::* for all of IPv6";
        Refusal::new(format!("'{word}' is not an IP address"), mend)
    })?;
    Ok(BindAddress { ip, optional })
}

fn written(address: &BindAddress) -> String {
    let optional = if address.optional { "-" } else { "" };
    match address.ip {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("{optional}*"),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("{optional}::*"),
        ip => format!("{optional}{ip}"),
    }
}

/// Permission bits in octal.
pub(super) struct OctalMode;

impl Kind for OctalMode {
    type Value = u32;

    fn parse(&self, text: &str) -> Result<u32, Refusal> {
        let octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| octal && mode <= 0o777);
        mode.ok_or_else(|| Refusal::new("argument must be an octal mode", "write 0 to 777, such as 700"))
    }

    fn show(&self, value: &u32) -> String {
        format!("{value:o}")
    }

    fn shape(&self) -> &'static str {
        "MODE"
    }

    fn form(&self) -> Form {
        Form::Number
    }

    fn range(&self) -> String {
        "0 to 777".into()
    }

    fn example(&self) -> String {
        "700".into()
    }
}

/// How much a client may leave unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Unsent bytes above which the client is closed; 0: never.
    pub hard_bytes: u64,
    /// Unsent bytes above which nothing more is received from the client; 0: never.
    pub soft_bytes: u64,
    /// Time above `soft_bytes` after which the client is closed; zero: never.
    pub soft_time: Duration,
}

/// `normal HARD SOFT SECONDS`, as in Redis.
pub(super) struct OutputLimitClasses;

impl Kind for OutputLimitClasses {
    type Value = OutputLimits;

    fn parse(&self, text: &str) -> Result<OutputLimits, Refusal> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let &[class, hard, soft, seconds] = words.as_slice() else {
            let what = "Wrong number of arguments in buffer limit configuration.";
            return Err(Refusal::new(what, "write normal HARD SOFT SECONDS"));
        };
        if !class.eq_ignore_ascii_case(OUTPUT_CLASS) {
            let what = "Invalid client class specified in buffer limit configuration.";
            return Err(Refusal::new(what, "the only class is normal"));
        }
        let malformed = || {
            let what = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            Refusal::new(what, "write bytes, bytes and whole seconds, such as normal 1gb 1mb 0")
        };
        let soft_seconds = whole(seconds, 0, u32::MAX.into()).map_err(|_| malformed())?;
        Ok(OutputLimits {
            hard_bytes: memory::bytes(hard).ok_or_else(malformed)?,
            soft_bytes: memory::bytes(soft).ok_or_else(malformed)?,
            soft_time: Duration::from_secs(soft_seconds),
        })
    }

    fn show(&self, value: &OutputLimits) -> String {
        let OutputLimits { hard_bytes, soft_bytes, soft_time } = value;
        format!("{OUTPUT_CLASS} {hard_bytes} {soft_bytes} {}", soft_time.as_secs())
    }

    fn shape(&self) -> &'static str {
        "LIMITS"
    }

    fn example(&self) -> String {
        "normal 64mb 256kb 60".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_redis_style() {
        let check = |text, expected: &str| {
            assert_eq!(AddressList.show(&AddressList.parse(text).unwrap()), expected, "{text}");
        };
        check("127.0.0.1", "127.0.0.1");
        check("127.0.0.1 -::1", "127.0.0.1 -::1");
        check(" 10.0.0.1,10.0.0.2\t10.0.0.1 ", "10.0.0.1 10.0.0.2");
        check("* -::*", "* -::*");
        check("0.0.0.0 ::", "* ::*");
        check("localhost", "127.0.0.1");
        let parsed = AddressList.parse("-::1").unwrap();
        assert_eq!(parsed, [BindAddress { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), optional: true }]);
    }

    #[test]
    fn an_endpoint_has_a_port_that_others_can_know() {
        assert_eq!(Endpoint.parse(" 127.0.0.1:9121 ").unwrap(), Some(([127, 0, 0, 1], 9121).into()));
        assert_eq!(Endpoint.parse("").unwrap(), None);
        for text in ["127.0.0.1:0", "127.0.0.1", "9121"] {
            assert_eq!(Endpoint.parse(text).unwrap_err().what, format!("'{text}' is no address with a port"));
        }
    }

    #[test]
    fn what_is_no_address_is_named() {
        let check = |text, what| assert_eq!(AddressList.parse(text).unwrap_err().what, what, "{text}");
        check("", "no address to listen on");
        check(" , ", "no address to listen on");
        check("127.0.0.1 example.org", "'example.org' is not an IP address");
        check("127.0.0.1:6379", "'127.0.0.1:6379' is not an IP address");
        check("1.2.3", "'1.2.3' is not an IP address");
        let many = (0..17).map(|n| format!("10.0.0.{n}")).collect::<Vec<_>>().join(" ");
        check(&many, "17 addresses, and at most 16 are listened on");
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(OctalMode.parse("700"), Ok(0o700));
        assert_eq!(OctalMode.parse("0777"), Ok(0o777));
        for text in ["", "8", "1000", "-1", "+7", "0o7", "rwx"] {
            assert_eq!(OctalMode.parse(text).unwrap_err().what, "argument must be an octal mode", "{text}");
        }
    }

    #[test]
    fn output_limits_take_units() {
        let limits = OutputLimitClasses.parse("NORMAL 2mb 1kb 10").unwrap();
        assert_eq!(limits, OutputLimits { hard_bytes: 2 << 20, soft_bytes: 1024, soft_time: Duration::from_secs(10) });
        assert_eq!(OutputLimitClasses.show(&limits), "normal 2097152 1024 10");
    }

    #[test]
    fn malformed_output_limits_are_refused_in_the_words_of_redis() {
        let check = |text, what: &str| {
            assert!(OutputLimitClasses.parse(text).unwrap_err().what.starts_with(what), "{text}");
        };
        check("", "Wrong number of arguments");
        check("normal 0 0", "Wrong number of arguments");
        check("normal 0 0 0 normal 0 0 0", "Wrong number of arguments");
        check("pubsub 0 0 0", "Invalid client class");
        check("normal abc 0 0", "Error in hard, soft or soft_seconds");
        check("normal 0 -1 0", "Error in hard, soft or soft_seconds");
        check("normal 0 0 1s", "Error in hard, soft or soft_seconds");
    }
}
