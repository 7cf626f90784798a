package main

import (
	"bytes"
	"cmp"
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// look is a set of colours, for the page on which a plot stands.
type look struct {
	suffix           string
	text, ours, peer color.RGBA
	grid             color.RGBA
}

// looks have a contrast of 4.5 or more against the page; the grid needs none.
var looks = []look{
	{"", rgb(0x24292f), rgb(0x0550ae), rgb(0x6e7781), rgb(0xd8dee4)},
	{"-dark", rgb(0xc9d1d9), rgb(0x58a6ff), rgb(0x8b949e), rgb(0x30363d)},
}

func rgb(v uint32) color.RGBA { return color.RGBA{byte(v >> 16), byte(v >> 8), byte(v), 0xff} }

// A plot is hardly wider than a phone, in points of 4/3 pixels, so that its text is
// readable there.
const (
	width, height = vg.Length(320), vg.Length(215)
	textSize      = vg.Length(10.5)
)

var sans = font.Font{Typeface: "Liberation", Variant: "Sans", Size: textSize}

func (f figure) draw(r *results, l look) ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = nil // the page's own
	f.axis(&p.X, f.xTicks, true, l)
	f.axis(&p.Y, f.yTicks, f.logarithms, l)
	p.X.Label.Text = f.x
	f.addGrid(p, l)
	if f.reference != "" {
		if err := f.addReference(p, l); err != nil {
			return nil, err
		}
	}
	for _, line := range f.lines {
		if err := f.addLine(p, r, line, l); err != nil {
			return nil, err
		}
	}
	canvas := vgsvg.NewWith(vgsvg.UseWH(width, height), vgsvg.EmbedFonts(false))
	all := draw.New(canvas)
	p.Draw(draw.Crop(all, 2, -12, 2, -20))
	// Turned by a quarter, as gonum has it, a title is hard to read.
	title := p.X.Label.TextStyle
	title.XAlign, title.YAlign = draw.XLeft, draw.YTop
	all.FillText(title, vg.Point{X: 3, Y: height - 3}, f.y)
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return nil, err
	}
	// Fonts of the same widths, for where the first is not at hand.
	return bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")), nil
}

// axis gives an axis its marks.
func (f figure) axis(a *plot.Axis, ticks []float64, logarithms bool, l look) {
	for _, style := range []*text.Style{&a.Label.TextStyle, &a.Tick.Label} {
		style.Color, style.Font = l.text, sans
	}
	a.Width, a.Tick.Length = 0, 0
	var marks plot.ConstantTicks
	for _, v := range ticks {
		marks = append(marks, plot.Tick{Value: v, Label: short(v)})
	}
	a.Tick.Marker = marks
	a.Min, a.Max = ticks[0], ticks[len(ticks)-1]
	if logarithms {
		a.Scale = plot.LogScale{}
	}
}

// short writes 1,000 as 1k, since marks stand close together.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'f', -1, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'f', -1, 64) + "k"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// addGrid draws a line across for each mark of the y axis.
func (f figure) addGrid(p *plot.Plot, l look) {
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: l.grid, Width: 0.5}
	p.Add(grid)
}

// addReference draws the line that is 1 by definition.
func (f figure) addReference(p *plot.Plot, l look) error {
	from, to := f.xTicks[0], f.xTicks[len(f.xTicks)-1]
	one, err := plotter.NewLine(plotter.XYs{{X: from, Y: 1}, {X: to, Y: 1}})
	if err != nil {
		return err
	}
	one.LineStyle = draw.LineStyle{Color: l.peer, Width: 1, Dashes: []vg.Length{3, 3}}
	p.Add(one)
	return f.addLabel(p, f.reference, plotter.XY{X: to, Y: 1}, below, l.peer)
}

func (f figure) addLine(p *plot.Plot, r *results, s line, l look) error {
	var points plotter.XYs
	var labelled plotter.XY
	for _, x := range f.xTicks {
		m, err := r.of(s.benchmark+strconv.FormatFloat(x, 'f', -1, 64), s.unit)
		if err != nil {
			return err
		}
		point := plotter.XY{X: x, Y: m.median * cmp.Or(s.scale, 1)}
		points = append(points, point)
		if x == s.at {
			labelled = point
		}
	}
	drawn, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	colour, width := l.peer, vg.Length(1.25)
	if s.ours {
		colour, width = l.ours, 2
	}
	drawn.LineStyle = draw.LineStyle{Color: colour, Width: width}
	if s.dashed {
		drawn.Dashes = []vg.Length{6, 3}
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 2.5, Shape: draw.CircleGlyph{}}
	p.Add(drawn, dots)
	return f.addLabel(p, s.label, labelled, s.place, colour)
}

// place is where a label stands, seen from the point that it belongs to.
type place int

const (
	above place = iota
	below
	left
	right // and below
)

// addLabel writes the name of a line beside one of its points. At the ends of the
// axis it goes inwards.
func (f figure) addLabel(p *plot.Plot, label string, at plotter.XY, where place, c color.Color) error {
	labels, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{at}, Labels: []string{label}})
	if err != nil {
		return err
	}
	style := &labels.TextStyle[0]
	style.Color, style.Font = c, sans
	style.XAlign = draw.XCenter
	switch at.X {
	case f.xTicks[0]:
		style.XAlign = draw.XLeft
	case f.xTicks[len(f.xTicks)-1]:
		style.XAlign = draw.XRight
	}
	switch where {
	case above:
		labels.Offset.Y = 5
	case below:
		style.YAlign, labels.Offset.Y = draw.YTop, -4
	case left:
		style.XAlign, style.YAlign, labels.Offset.X = draw.XRight, draw.YCenter, -6
	case right:
		style.XAlign, style.YAlign, labels.Offset.Y = draw.XLeft, draw.YTop, -4
	}
	p.Add(labels)
	return nil
}
