//! Addresses that are not to be called: those of the machine's own link, behind which clouds keep their credentials, and,
//! for hosts that an answer names and nobody here has chosen, all that are not public.
//!
//! What counts is the address behind the name, looked up for the very connection that is then made.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// An address that is not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    host: String,
    why: &'static str,
    /// Whether a person has named the host.
    pub(super) chosen: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, which is not called", self.host, self.why)
    }
}

impl Error for Refused {}

/// What may be called.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// Hosts that a person has named: they may be private.
    chosen: BTreeSet<String>,
    /// Whether the machine's own link may be called.
    link_local: bool,
}

impl Reach {
    pub(super) fn new(link_local: bool) -> Self {
        Self {
            chosen: BTreeSet::new(),
            link_local,
        }
    }

    /// A person has named this address.
    pub(super) fn choose(&mut self, url: &Url) {
        if let Some(host) = url.host_str() {
            self.chosen.insert(plain(host));
        }
    }

    /// Whether an address that is written as one may be called; names are looked at when they are looked up.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            _ => return Ok(()),
        };
        self.look(url.host_str().unwrap_or_default(), address)
    }

    fn look(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let chosen = self.chosen.contains(&plain(host));
        let why = match of_the_link(address) {
            Some(_) if self.link_local && chosen => None,
            Some(why) => Some(why),
            None if chosen => None,
            None => not_public(address),
        };
        match why {
            None => Ok(()),
            Some(why) => Err(Refused {
                host: host.to_owned(),
                why,
                chosen,
            }),
        }
    }
}

fn plain(host: &str) -> String {
    host.trim_matches(['[', ']'])
        .trim_end_matches('.')
        .to_ascii_lowercase()
}

/// The address that others stand for: `::ffff:a.b.c.d`, `64:ff9b::a.b.c.d`, `2002:ab:cd::`.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let four = |high: u16, low: u16| {
        let both = u32::from(high) << 16 | u32::from(low);
        IpAddr::V4(Ipv4Addr::from_bits(both))
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            four(high, low)
        }
        [0, 0, 0, 0, 0, 0, high, low] if six != Ipv6Addr::LOCALHOST && !six.is_unspecified() => {
            four(high, low)
        }
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Where clouds keep what their machines may know of themselves.
fn of_the_link(address: IpAddr) -> Option<&'static str> {
    match meant(address) {
        IpAddr::V4(four) if four.is_link_local() => Some("a link-local address"),
        IpAddr::V4(four)
            if four == Ipv4Addr::new(100, 100, 100, 200)
                || four == Ipv4Addr::new(168, 63, 129, 16)
                || four == Ipv4Addr::new(192, 0, 0, 192) =>
        {
            Some("the address of a cloud's metadata")
        }
        IpAddr::V6(six) if six.segments()[0] & 0xffc0 == 0xfe80 => Some("a link-local address"),
        IpAddr::V6(six)
            if six.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]
                || six.segments() == [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] =>
        {
            Some("the address of a cloud's metadata")
        }
        _ => None,
    }
}

fn not_public(address: IpAddr) -> Option<&'static str> {
    match meant(address) {
        IpAddr::V4(four) if four.is_loopback() || four.octets()[0] == 0 => {
            Some("an address of this machine")
        }
        IpAddr::V4(four)
            if four.is_private() || (four.octets()[0] == 100 && four.octets()[1] & 0xc0 == 64) =>
        {
            Some("a private address")
        }
        IpAddr::V4(four) if four.is_broadcast() || four.is_multicast() => {
            Some("an address of many machines")
        }
        IpAddr::V6(six) if six.is_loopback() || six.is_unspecified() => {
            Some("an address of this machine")
        }
        IpAddr::V6(six) if six.segments()[0] & 0xfe00 == 0xfc00 => Some("a private address"),
        IpAddr::V6(six) if six.is_multicast() => Some("an address of many machines"),
        _ => None,
    }
}

/// Looks names up and refuses what may not be called. One refused address of several refuses the name: it may be the one
/// that the next lookup gives.
impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            for address in &found {
                reach.look(&host, address.ip())?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reach: &Reach, url: &str) -> Option<&'static str> {
        reach
            .check(&Url::parse(url).unwrap())
            .err()
            .map(|refused| refused.why)
    }

    #[test]
    fn the_link_is_refused_in_every_spelling() {
        for host in [
            "169.254.169.254",
            "169.254.0.1",
            "2852039166",
            "0xa9.254.169.254",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            let url = format!("http://{host}/latest/meta-data");
            let mut chosen = Reach::new(false);
            chosen.choose(&Url::parse(&url).unwrap());
            assert!(check(&chosen, &url).is_some(), "{host}");
            assert!(check(&Reach::new(true), &url).is_some(), "{host}");
            let mut allowed = Reach::new(true);
            allowed.choose(&Url::parse(&url).unwrap());
            assert_eq!(check(&allowed, &url), None, "{host}");
        }
    }

    #[test]
    fn a_private_address_is_called_only_when_a_person_names_it() {
        for host in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "[::1]",
            "[::]",
            "[fc00::1]",
            "[::ffff:127.0.0.1]",
        ] {
            let url = format!("http://{host}/");
            assert!(check(&Reach::new(false), &url).is_some(), "{host}");
            let mut chosen = Reach::new(false);
            chosen.choose(&Url::parse(&url).unwrap());
            assert_eq!(check(&chosen, &url), None, "{host}");
        }
        for host in ["8.8.8.8", "[2606:4700::1111]", "example.com", "100.128.0.1"] {
            assert_eq!(check(&Reach::new(false), &format!("http://{host}/")), None);
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_at_by_its_addresses() {
        let reach = Reach::new(false);
        let error = reach
            .resolve("localhost".parse().unwrap())
            .await
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "`localhost` is an address of this machine, which is not called"
        );
        let mut reach = Reach::new(false);
        reach.choose(&Url::parse("http://LOCALHOST:80/").unwrap());
        let found = reach.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_ok_and(|mut found| found.next().is_some()));
    }
}
