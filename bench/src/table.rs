//! The figures as a Markdown table.

use crate::figures::{Figure, Figures, median};
use std::fmt::Write;

/// Medians and ratios, for people.
pub fn render(figures: &Figures) -> String {
    let mut text = format!(
        "Measured {} on {}, {}, accelerator {}: Pith {} beside {} (medians; {} boots of Linux hung and were \
         repeated).\n\n\
         | | unit | Pith | Linux | Linux, mitigations=off | Pith / Linux | aim |\n\
         |---|---|--:|--:|--:|--:|---|\n",
        figures.date,
        figures.processor,
        figures.qemu,
        figures.accelerator,
        figures.pith,
        figures.linux,
        figures.discarded_linux_boots,
    );
    for figure in &figures.figures {
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            figure.name,
            figure.unit,
            cell(&figure.pith),
            cell(&figure.linux),
            cell(&figure.linux_unmitigated),
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
            text.contains("| time | s | 0.200 | 2.000 | – | 0.100 | short |"),
            "{text}"
        );
    }
}
