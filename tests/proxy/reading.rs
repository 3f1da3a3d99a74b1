//! The widest reading of a request target: whatever some server decodes, drops or folds, is decoded, dropped and folded.

/// More rounds than anybody encodes.
const ROUNDS: usize = 6;

/// Whether some server may find the node's identity at `target`, which is of any form.
pub fn means_identity(target: &str) -> bool {
    let mut path = target.as_bytes().to_vec();
    for _ in 0..ROUNDS {
        let read = resolved(&decoded(without_authority(&path)));
        if read == path {
            break;
        }
        path = read;
    }
    path.starts_with(b"/metadata/identity")
}

/// What stands behind `scheme://authority`.
fn without_authority(target: &[u8]) -> &[u8] {
    let Some(at) = target.windows(3).position(|window| window == b"://") else {
        return target;
    };
    if !target[..at].iter().all(u8::is_ascii_alphanumeric) {
        return target;
    }
    let rest = &target[at + 3..];
    rest.iter()
        .position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#'))
        .map_or(b"", |at| &rest[at..])
}

/// Escapes, overlong and full-width letters as what they stand for, in lower case; blanks and control characters gone.
fn decoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let (byte, taken) = match (escaped, rest) {
            (Some((high, low)), _) => (high << 4 | low, 3),
            (None, [0xc0 | 0xc1, low, ..]) => ((byte & 1) << 6 | low & 0x3f, 2),
            (None, [0xef, middle @ (0xbc | 0xbd), low, ..]) => {
                (((middle & 1) << 6 | low & 0x3f).wrapping_add(0x20), 3)
            }
            (None, _) => (byte, 1),
        };
        rest = &rest[taken..];
        if byte > b' ' && byte != 0x7f {
            out.push(byte.to_ascii_lowercase());
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16)?.try_into().ok()
}

/// Segments without parameters and dots at their ends, empty ones gone, `..` followed.
fn resolved(path: &[u8]) -> Vec<u8> {
    let path = path
        .split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default();
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        let segment = segment
            .split(|byte| *byte == b';')
            .next()
            .unwrap_or(segment);
        match segment {
            b".." => drop(segments.pop()),
            _ => {
                let bare = segment.trim_ascii();
                let end = bare
                    .iter()
                    .rposition(|byte| *byte != b'.')
                    .map_or(0, |at| at + 1);
                if end > 0 {
                    segments.push(&bare[..end]);
                }
            }
        }
    }
    segments
        .iter()
        .flat_map(|segment| [b"/", *segment].concat())
        .collect()
}

#[test]
fn readings() {
    let table = [
        ("/metadata/identity/oauth2/token", true),
        ("//Metadata\\IDENTITY;x=1/oauth2", true),
        ("/metadata%2fidentity", true),
        ("/metadata%25252fidentity", true),
        ("/metadata/instance/%2e%2e/identity", true),
        ("/x/../metadata./identity", true),
        ("/metadata%c0%afidentity", true),
        ("/metadata\u{ff0f}identity", true),
        ("/meta%00data/ident\tity", true),
        ("http://169.254.169.254/metadata/identity/info", true),
        ("/metadata/instance", false),
        ("/metadata/instance?x=/metadata/identity", false),
        ("/identity/metadata", false),
        ("http://169.254.169.254/machine", false),
        ("*", false),
    ];
    for (target, expected) in table {
        assert_eq!(means_identity(target), expected, "{target}");
    }
}
