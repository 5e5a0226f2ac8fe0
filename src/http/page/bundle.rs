//! The files of the page. One hash is over all of them and stands in their addresses: what is at an address never changes, files
//! name each other by relative paths, and nothing has to be built.

use super::headers::{harden, restrict};
use aws_lc_rs::digest::{Context, SHA256};
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use axum::http::{Response, StatusCode};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// Bytes of the hash that stand in addresses.
const BUILD_BYTES: usize = 8;

/// What stands in `index.html` in place of the hash.
const PLACEHOLDER: &str = "BUILD";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

const INDEX: &str = include_str!("../../../web/index.html");

macro_rules! files {
    ($($path:literal: $kind:ident,)*) => {
        /// Path, type, content.
        const FILES: &[(&str, &str, &[u8])] =
            &[$(($path, $kind, include_bytes!(concat!("../../../web/", $path)))),*];
    };
}

files! {
    "app.js": SCRIPT,
    "icon.svg": IMAGE,
    "lib/api.js": SCRIPT,
    "lib/format.js": SCRIPT,
    "lib/incidents.js": SCRIPT,
    "lib/live.js": SCRIPT,
    "lib/roomcast.js": SCRIPT,
    "lib/route.js": SCRIPT,
    "lib/session.js": SCRIPT,
    "lib/store.js": SCRIPT,
    "lib/theme.js": SCRIPT,
    "style/base.css": STYLE,
    "style/shell.css": STYLE,
    "style/views.css": STYLE,
    "vendor/LICENSE-htm": TEXT,
    "vendor/LICENSE-preact": TEXT,
    "vendor/LICENSE-uplot": TEXT,
    "vendor/preact-htm.js": SCRIPT,
    "vendor/uplot.css": STYLE,
    "vendor/uplot.js": SCRIPT,
    "views/board.js": SCRIPT,
    "views/chart.js": SCRIPT,
    "views/dashboard.js": SCRIPT,
    "views/incident.js": SCRIPT,
    "views/incident_row.js": SCRIPT,
    "views/new_incident.js": SCRIPT,
    "views/parts.js": SCRIPT,
    "views/rooms.js": SCRIPT,
    "views/shell.js": SCRIPT,
    "views/signin.js": SCRIPT,
    "views/talk.js": SCRIPT,
    "views/timeline.js": SCRIPT,
}

/// The page as it is served.
#[derive(Debug)]
pub(super) struct Bundle {
    build: String,
    index: Bytes,
}

impl Bundle {
    /// The page of this binary.
    pub(super) fn get() -> &'static Self {
        static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
            let build = hash(INDEX, FILES);
            let index = INDEX.replace(PLACEHOLDER, &build).into();
            Bundle { build, index }
        });
        &BUNDLE
    }

    /// The hash in the addresses.
    pub(super) fn build(&self) -> &str {
        &self.build
    }

    /// The page itself, which is asked for each time and sent when it has changed.
    pub(super) fn index(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = self.answer(request, "no-cache", "text/html; charset=utf-8", self.index.clone());
        restrict(response.headers_mut(), request);
        response
    }

    /// A file, which is kept for a year. `None` when there is none at this path, or when it is of another build.
    pub(super) fn file(&self, build: &str, path: &str, request: &HeaderMap) -> Option<Response<Body>> {
        let place = FILES.binary_search_by(|(known, ..)| (*known).cmp(path)).ok();
        let (_, kind, content) = FILES[place.filter(|_| build == self.build)?];
        let forever = "public, max-age=31536000, immutable";
        Some(self.answer(request, forever, kind, Bytes::from_static(content)))
    }

    fn answer(&self, request: &HeaderMap, cache: &'static str, kind: &'static str, content: Bytes) -> Response<Body> {
        let tag = format!("\"{}\"", self.build);
        let known = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known =
            known.flat_map(|value| value.split(',')).any(|one| matches!(one.trim(), "*") || names(one, &tag));
        let mut response = Response::new(if is_known { Body::empty() } else { Body::from(content) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        HeaderValue::from_str(&tag).ok().map(|tag| headers.insert(ETAG, tag));
        harden(headers);
        response
    }
}

/// Whether an entity tag in a request, weak or not, is this one.
fn names(given: &str, tag: &str) -> bool {
    let given = given.trim();
    given.strip_prefix("W/").unwrap_or(given) == tag
}

/// A hash over all files, their paths and their lengths.
fn hash(index: &str, files: &[(&str, &str, &[u8])]) -> String {
    let mut context = Context::new(&SHA256);
    for (path, content) in std::iter::once(("", index.as_bytes())).chain(files.iter().map(|file| (file.0, file.2))) {
        for part in [path.as_bytes(), content] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
    }
    let mut text = String::new();
    for byte in &context.finish().as_ref()[..BUILD_BYTES] {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// What is below `web/` but not for browsers.
    const NOT_SERVED: [&str; 4] = ["README.md", "index.html", "vendor/SHA256SUMS", "vendor/fetch"];

    fn below(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut there = BTreeSet::new();
        below(&root, &root, &mut there);
        there.retain(|path| !NOT_SERVED.contains(&path.as_str()));
        assert_eq!(there, FILES.iter().map(|(path, ..)| (*path).to_owned()).collect());
        assert!(FILES.is_sorted_by_key(|(path, ..)| *path), "they are found by a binary search");
    }

    #[test]
    fn the_page_names_only_files_that_there_are() {
        let bundle = Bundle::get();
        let index = std::str::from_utf8(&bundle.index).unwrap();
        let named: Vec<_> = index.split('"').filter_map(|part| part.strip_prefix("/ui/")).collect();
        assert!(named.len() > 4, "{named:?}");
        for path in named {
            let (build, path) = path.split_once('/').unwrap();
            assert!(bundle.file(build, path, &HeaderMap::new()).is_some(), "{path}");
        }
        for (path, kind, content) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let text = std::str::from_utf8(content).unwrap();
            for target in text.split(" from \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let found = match target.strip_prefix("../") {
                    Some(outside) => outside.to_owned(),
                    None if folder.is_empty() => target.trim_start_matches("./").to_owned(),
                    None => format!("{folder}/{}", target.trim_start_matches("./")),
                };
                assert!(FILES.iter().any(|(known, ..)| *known == found), "{path} ({kind}) imports {target}");
            }
        }
    }

    #[test]
    fn nothing_in_the_page_needs_a_weaker_policy() {
        for (name, text) in std::iter::once(("index.html", INDEX.as_bytes())).chain(FILES.iter().map(|f| (f.0, f.2))) {
            let text = String::from_utf8_lossy(text);
            assert!(name.starts_with("vendor/") || !text.contains("://") || is_example(&text), "{name} names a server");
            assert!(!text.contains("innerHTML") || name.starts_with("vendor/"), "{name} writes markup");
        }
        assert!(!INDEX.contains("<style") && !INDEX.contains(" style=") && !INDEX.contains("onclick"));
        assert_eq!(INDEX.matches("<script").count(), INDEX.matches("<script ").count(), "every script has a file");
    }

    /// Names of servers in comments, and namespaces of XML.
    fn is_example(text: &str) -> bool {
        text.match_indices("://").all(|(at, _)| {
            let line = text[..at].rsplit('\n').next().unwrap();
            line.trim_start().starts_with("//") || line.contains("xmlns")
        })
    }

    #[test]
    fn any_change_is_another_build() {
        let files: &[(&str, &str, &[u8])] = &[("a", SCRIPT, b"1"), ("b", SCRIPT, b"2")];
        let other: [&[(&str, &str, &[u8])]; 3] = [
            &[("a", SCRIPT, b"1"), ("b", SCRIPT, b"3")],
            &[("a", SCRIPT, b"12"), ("b", SCRIPT, b"")],
            &[("a", SCRIPT, b"1")],
        ];
        let build = hash("i", files);
        assert_eq!(build.len(), 2 * BUILD_BYTES);
        assert!(other.iter().all(|other| hash("i", other) != build) && hash("j", files) != build);
    }
}
