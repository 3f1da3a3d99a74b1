//! Which place a request path names. An allow-list: what is not a plain path is nothing at all.

/// A place behind the proxy's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The token endpoint.
    Token,
    /// The endpoint that tells the tenant.
    Info,
    /// Anything else of the identity family: the node's identity lies there, so it is never forwarded.
    Identity,
    /// The proxy's own readiness.
    Ready,
    /// The rest, which the node's IMDS may answer.
    Elsewhere,
    /// A form that servers read in different ways; never forwarded.
    Odd,
}

/// The place that `path` (as it came, without query) names.
///
/// Leading slashes count as one and one slash at the end as none; SDKs send both. `/metadata` has no case. Beyond
/// these, a path must be plain: segments of letters, digits and `-_~.`, none empty, none with a dot at either end. Escapes,
/// backslashes, semicolons and dot segments are odd wherever they stand, as the node may read
/// `/metadata/identity` into them.
#[must_use]
pub fn place(path: &str) -> Place {
    let Some(path) = path.strip_prefix('/') else {
        return Place::Odd;
    };
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Place::Elsewhere;
    }
    if !path.split('/').all(plain) {
        return Place::Odd;
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if path == "readyz" {
        return Place::Ready;
    }
    if !first.eq_ignore_ascii_case("metadata") {
        return Place::Elsewhere;
    }
    match rest {
        "identity/oauth2/token" => Place::Token,
        "identity/info" => Place::Info,
        _ if identity(rest) => Place::Identity,
        _ => Place::Elsewhere,
    }
}

/// The path to forward: what `place` looked at.
#[must_use]
pub fn collapsed(path: &str) -> &str {
    let slashes = path.len() - path.trim_start_matches('/').len();
    &path[slashes.saturating_sub(1)..]
}

fn plain(segment: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
    !segment.is_empty()
        && !segment.starts_with('.')
        && !segment.ends_with('.')
        && segment.bytes().all(plain)
}

/// Wider than the node's own reading, which minds case and the whole segment.
fn identity(rest: &str) -> bool {
    rest.as_bytes()
        .get(.."identity".len())
        .is_some_and(|start| start.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::{Place, collapsed, place};

    #[test]
    fn places() {
        let table: [(Place, &[&str]); 6] = [
            (
                Place::Token,
                &[
                    "/metadata/identity/oauth2/token",
                    "/metadata/identity/oauth2/token/",
                    "//metadata/identity/oauth2/token",
                    "///METADATA/identity/oauth2/token/",
                    "/Metadata/identity/oauth2/token",
                ],
            ),
            (
                Place::Info,
                &["/metadata/identity/info", "/METADATA/identity/info/"],
            ),
            (
                Place::Identity,
                &[
                    "/metadata/identity",
                    "/metadata/identity/",
                    "/metadata/identity/oauth2",
                    "/metadata/identity/oauth2/tokenX",
                    "/metadata/identity/oauth2/TOKEN",
                    "/metadata/identity/oauth2/token/x",
                    "/metadata/Identity/oauth2/token",
                    "/metadata/identity/getplatformmetadata",
                    "/METADATA/IDENTITY/GETPLATFORMMETADATA",
                    "//metadata/identity/issuecredential/",
                    "/metadata/identity/credential",
                    "/metadata/identityX/oauth2/token",
                    "/metadata/identity~1/oauth2/token",
                ],
            ),
            (Place::Ready, &["/readyz", "/readyz/"]),
            (
                Place::Elsewhere,
                &[
                    "/",
                    "//",
                    "/metadata",
                    "/metadata/instance",
                    "/metadata/instance/compute/vmSize/",
                    "/metadata/attested/document",
                    "/machine",
                    "/latest/meta-data/iam",
                    "/readyz/x",
                    "/oauth2/token",
                ],
            ),
            (
                Place::Odd,
                &[
                    "",
                    "*",
                    "metadata/identity/oauth2/token",
                    "/metadata\\identity\\oauth2\\token",
                    "/metadata/identity\\oauth2\\token/",
                    "/metadata/identity/oauth2\\token",
                    "/metadata%2fidentity/oauth2/token",
                    "/metadata/identity%2Foauth2%2Ftoken",
                    "/metadata%5cidentity/oauth2/token",
                    "/metadata/identity%5Coauth2/token",
                    "/metadata%252fidentity/oauth2/token",
                    "/%6detadata/identity/oauth2/token",
                    "/metadata/%69dentity/oauth2/token",
                    "/metadata/./identity/oauth2/token",
                    "/metadata/instance/../identity/oauth2/token",
                    "/metadata/instance/%2e%2e/identity/oauth2/token",
                    "/metadata/instance/.%2E/identity/oauth2/token",
                    "/x/../metadata/identity/oauth2/token",
                    "/metadata;x=1/identity/oauth2/token",
                    "/metadata/identity;/oauth2/token",
                    "/metadata/identity/oauth2/token;x",
                    "/metadata/identity./oauth2/token",
                    "/metadata//identity/oauth2/token",
                    "/metadata/identity//oauth2/token",
                    "/metadata/identity/oauth2/token//",
                    "/metadata/identity/oauth2/token%00",
                    "/metadata/identity/oauth2/token%20",
                    "/metadata/\u{ff49}dentity/oauth2/token",
                    "/metadata:80/identity@x/token",
                ],
            ),
        ];
        for (expected, paths) in table {
            for path in paths {
                assert_eq!(place(path), expected, "{path}");
            }
        }
    }

    /// The path as the most forgiving server would read it.
    fn read_leniently(path: &str) -> String {
        let mut path = path.to_ascii_lowercase();
        let escapes = [
            ("%25", "%"),
            ("%2f", "/"),
            ("%5c", "/"),
            ("%3b", ";"),
            ("%2e", "."),
            ("%00", ""),
            ("\\", "/"),
            ("+", ""),
            (":", ""),
        ];
        for (escape, meaning) in escapes {
            path = path.replace(escape, meaning);
        }
        let mut segments = Vec::new();
        for segment in path.split('/') {
            let (segment, _) = segment.split_once(';').unwrap_or((segment, ""));
            match segment {
                ".." => drop(segments.pop()),
                _ => segments.push(segment.trim_matches('.')),
            }
        }
        segments.retain(|segment| !segment.is_empty());
        segments.join("/")
    }

    #[test]
    fn no_decoration_reaches_the_node_by_another_name() {
        let inserts = [
            "%2f", "%5c", "\\", "/", "//", "/./", "/../", ";", "%3b", "%2e", ".", "%25", "%00",
            "+", ":",
        ];
        let token = "/metadata/identity/oauth2/token";
        for insert in inserts {
            for at in 0..=token.len() {
                let (head, tail) = token.split_at(at);
                let path = format!("{head}{insert}{tail}");
                let forwarded = place(&path) == Place::Elsewhere;
                assert!(
                    !(forwarded && read_leniently(&path).starts_with("metadata/identity")),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn leading_slashes() {
        for (path, expected) in [
            ("/a", "/a"),
            ("///a//", "/a//"),
            ("/", "/"),
            ("//", "/"),
            ("a", "a"),
        ] {
            assert_eq!(collapsed(path), expected, "{path}");
        }
    }
}
