//! The two text forms of `/metrics`: Prometheus' own, version 0.0.4, unless `Accept` asks for OpenMetrics.
//!
//! They differ in the names of counters. OpenMetrics describes the family `requests` and its sample `requests_total`;
//! 0.0.4 knows no families, so what is described there must bear the sample's name.

use std::collections::HashSet;

use hyper::HeaderMap;
use hyper::header::ACCEPT;

const OPENMETRICS: &str = "application/openmetrics-text";

/// A text form of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposition {
    /// Prometheus text, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// The form that a client gets: OpenMetrics if it is named and no other form is liked better.
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let ranges: Vec<(&str, f32)> = lines.flat_map(|line| line.split(',')).map(range).collect();
        let quality = |wanted: fn(&str) -> bool| {
            let found = ranges.iter().filter(|(kind, _)| wanted(kind));
            found.map(|(_, quality)| *quality).fold(0.0, f32::max)
        };
        let openmetrics = quality(|kind| kind.eq_ignore_ascii_case(OPENMETRICS));
        let text = quality(|kind| !kind.eq_ignore_ascii_case(OPENMETRICS));
        if openmetrics > 0.0 && openmetrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// This form of metrics that are written as OpenMetrics.
    pub(crate) fn of(self, openmetrics: String) -> String {
        match self {
            Self::Text => prometheus_text(&openmetrics),
            Self::OpenMetrics => openmetrics,
        }
    }
}

/// One media range of an `Accept` header without its parameters, and its quality (1 unless said).
fn range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(Some(1.0), |(_, value)| value.trim().parse().ok());
    (kind, quality.unwrap_or(0.0))
}

fn prometheus_text(openmetrics: &str) -> String {
    let counters: HashSet<&str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let description = ["# HELP ", "# TYPE "].iter().find_map(|intro| {
            let (name, rest) = line.strip_prefix(intro)?.split_once(' ')?;
            Some((*intro, name, rest))
        });
        match description {
            Some((intro, name, rest)) if counters.contains(name) => {
                text.push_str(&format!("{intro}{name}_total {rest}"));
            }
            // 0.0.4 knows neither units nor an end.
            None if line == "# EOF" || line.starts_with("# UNIT ") => continue,
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[rstest]
    #[case::none(&[], Exposition::Text)]
    #[case::anything(&["*/*"], Exposition::Text)]
    #[case::text(&["text/plain"], Exposition::Text)]
    #[case::a_browser(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Exposition::Text)]
    #[case::openmetrics(&["application/openmetrics-text"], Exposition::OpenMetrics)]
    #[case::version(&["Application/OpenMetrics-Text; version=1.0.0; charset=utf-8"], Exposition::OpenMetrics)]
    #[case::a_scraper(&[PROMETHEUS_2], Exposition::OpenMetrics)]
    #[case::equally_liked(&["text/plain, application/openmetrics-text"], Exposition::OpenMetrics)]
    #[case::text_is_liked_better(&["application/openmetrics-text;q=0.5, text/plain"], Exposition::Text)]
    #[case::two_lines(&["text/plain; q = 0.1", "application/openmetrics-text; Q=0.2"], Exposition::OpenMetrics)]
    #[case::refused(&["application/openmetrics-text;q=0"], Exposition::Text)]
    #[case::no_number(&["application/openmetrics-text;q=much"], Exposition::Text)]
    fn what_is_asked_for(#[case] accept: &[&'static str], #[case] expected: Exposition) {
        let mut headers = HeaderMap::new();
        for line in accept {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        assert_eq!(Exposition::asked(&headers), expected);
    }

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let openmetrics = "# HELP v_requests Requests answered.\n# TYPE v_requests counter\n\
            v_requests_total{operation=\"# TYPE x counter\"} 2\n\
            # HELP v_cpu_seconds CPU time used.\n# TYPE v_cpu_seconds counter\n# UNIT v_cpu_seconds seconds\n\
            v_cpu_seconds_total 0.5\n\
            # HELP v_tail_rows Rows.\n# TYPE v_tail_rows gauge\nv_tail_rows 7\n# EOF\n";
        let text = "# HELP v_requests_total Requests answered.\n# TYPE v_requests_total counter\n\
            v_requests_total{operation=\"# TYPE x counter\"} 2\n\
            # HELP v_cpu_seconds_total CPU time used.\n# TYPE v_cpu_seconds_total counter\n\
            v_cpu_seconds_total 0.5\n\
            # HELP v_tail_rows Rows.\n# TYPE v_tail_rows gauge\nv_tail_rows 7\n";
        assert_eq!(Exposition::Text.of(openmetrics.to_owned()), text);
        assert_eq!(Exposition::OpenMetrics.of(openmetrics.to_owned()), openmetrics);
    }
}
