//! The figures as a Markdown table.

use crate::figures::{Figure, Figures, median};
use std::fmt::Write;

/// Medians and ratios, for people. The column of Linux without mitigations is there if anything was measured so.
pub fn render(figures: &Figures) -> String {
    let unmitigated = figures
        .figures
        .iter()
        .any(|figure| !figure.linux_unmitigated.is_empty());
    let discarded = match figures.discarded_linux_boots {
        0 => String::new(),
        count => format!("; {count} boots of Linux hung and were repeated"),
    };
    let mut text = format!(
        "Measured {} on {}, {}, accelerator {}: Pith {} beside {} (medians{discarded}).\n\n",
        figures.date,
        figures.processor,
        figures.qemu,
        figures.accelerator,
        figures.pith,
        figures.linux,
    );
    let (title, line) = match unmitigated {
        true => (" Linux, mitigations=off |", "--:|"),
        false => ("", ""),
    };
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "| | unit | Pith | Linux |{title} Pith / Linux | aim |"
    );
    let _ = writeln!(text, "|---|---|--:|--:|{line}--:|---|");
    for figure in &figures.figures {
        let third = match unmitigated {
            true => format!(" {} |", cell(&figure.linux_unmitigated)),
            false => String::new(),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |{third} {} | {} |",
            figure.name,
            figure.unit,
            cell(&figure.pith),
            cell(&figure.linux),
            ratio(figure),
            figure.aim
        );
    }
    text
}

fn cell(values: &[f64]) -> String {
    match median(values) {
        None => "–".into(),
        Some(value) if value < 10.0 => format!("{value:.3}"),
        Some(value) => format!("{value:.1}"),
    }
}

fn ratio(figure: &Figure) -> String {
    match (median(&figure.pith), median(&figure.linux)) {
        (Some(pith), Some(linux)) if linux > 0.0 => format!("{:.3}", pith / linux),
        _ => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_medians_and_their_ratio() {
        let figures = Figures {
            date: "today".into(),
            processor: "processor".into(),
            accelerator: "tcg".into(),
            qemu: "QEMU".into(),
            pith: "0.1.0".into(),
            linux: "vmlinuz".into(),
            discarded_linux_boots: 1,
            figures: vec![Figure {
                name: "time".into(),
                unit: "s",
                pith: vec![0.1, 0.3, 0.2],
                linux: vec![2.0],
                linux_unmitigated: Vec::new(),
                aim: "short",
            }],
        };
        let text = render(&figures);
        assert!(
            text.contains("| time | s | 0.200 | 2.000 | 0.100 | short |"),
            "{text}"
        );
        assert!(text.contains("1 boots of Linux hung"), "{text}");
    }
}
