package main

import (
	"bytes"
	"fmt"
	"html"
	"slices"
)

// Measures of the plot, in pixels.
const (
	plotWidth  = 860
	plotNames  = 250 // the column of names
	plotValues = 90  // that of figures
	plotBar    = 18
	plotGap    = 6
	plotTitle  = 34
)

// plot draws a group of bars for each case, each group in its own scale, with the range as a line.
func (r *report) plot() []byte {
	var b bytes.Buffer
	height := 20
	for _, c := range r.Cases {
		height += plotTitle + len(c.Contenders)*(plotBar+plotGap)
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", plotWidth, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", plotWidth, height)
	y := 10
	for _, c := range r.Cases {
		fmt.Fprintf(&b, `<text x="10" y="%d" font-weight="bold">%s (%s)</text>`+"\n", y+20, html.EscapeString(c.Name), c.Unit)
		y += plotTitle
		most := 0.0
		for _, one := range c.Contenders {
			most = max(most, slices.Max(one.Samples))
		}
		scale := float64(plotWidth-plotNames-plotValues) / most
		for i, one := range c.Contenders {
			fill := "#b8c4d0"
			if i == 0 {
				fill = "#2f6f9f"
			}
			middle := float64(y) + plotBar/2
			fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%s</text>`+"\n", plotNames-8, middle+5, html.EscapeString(one.Name))
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", plotNames, y, one.Median*scale, plotBar, fill)
			from, to := plotNames+slices.Min(one.Samples)*scale, plotNames+slices.Max(one.Samples)*scale
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#333333"/>`+"\n", from, middle, to, middle)
			fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%.1f</text>`+"\n", to+6, middle+5, one.Median)
			y += plotBar + plotGap
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
