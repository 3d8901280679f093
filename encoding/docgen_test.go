package encoding

import (
	"math"
	"math/rand/v2"
	"strings"

	"github.com/google/uuid"

	"pongofs/engine/value"
)

// docGen builds random documents.
type docGen struct {
	rnd *rand.Rand
	// scalars are the kinds of scalars, nil for all.
	scalars []value.Kind
	// textKeys makes all keys strings in UTF-8.
	textKeys bool
	// plain leaves out what Extended JSON alone can write: collections, links,
	// strings that are not UTF-8, odd NaNs.
	plain bool
	// noEmptyKey leaves out the empty keys that the TOML library cannot read.
	noEmptyKey bool
	inList     int
	budget     int
}

var genStrings = []string{
	"", "a", "hello world", "grüße\n", " lead", "trail ", "line1\nline2\n", "\nx", "a\n\n", "  a\n b", "a\tb", "\t", "\r\n",
	"\x00", "\x1f", "\x7f", "\u0085", "\u2028", "\ufeff", "😀", "true", "null", "~", "1", "1.5", "0x10", "yes", "<<", "- a",
	"a: b", "#c", "'", `"`, `\`, "%", "&a", "*a", "!t", "|", ">", "@", "`", "{}", "[]", ",", "?", ":", "=", "a #b", "2001-01-01",
	"$date", "$numberLong", "$pongo", "$link", "$oid", "$x", "$$", "key/with/slash", ".", "..", "%=i5", "1e400", "-0", "''", `"""`, "'''",
	"a\n b\n", "x\n\ty\n", "trailing \nspace", ".inf", "1_000", "12:30:45", "0o7", "\u00a0", "a\u0300",
}

func (g *docGen) string() string {
	if g.rnd.IntN(4) > 0 {
		return genStrings[g.rnd.IntN(len(genStrings))]
	}
	b := make([]byte, g.rnd.IntN(12))
	for i := range b {
		b[i] = byte(g.rnd.IntN(256))
	}
	if g.plain {
		return strings.ToValidUTF8(string(b), "é")
	}
	return string(b)
}

func (g *docGen) scalar() value.Value {
	kind := value.KindNull + value.Kind(g.rnd.IntN(8))
	if g.scalars != nil {
		kind = g.scalars[g.rnd.IntN(len(g.scalars))]
	}
	switch kind {
	case value.KindBool:
		return value.Bool(g.rnd.IntN(2) == 0)
	case value.KindInt:
		return value.Int(int64(g.rnd.Uint64()) >> g.rnd.IntN(64))
	case value.KindDatetime:
		if g.plain {
			return value.DatetimeMicro(g.rnd.Int64N(253402300800e6))
		}
		return value.DatetimeMicro(int64(g.rnd.Uint64()) >> g.rnd.IntN(64) / 1000 * 1000)
	case value.KindUUID:
		var u uuid.UUID
		for i := range u {
			u[i] = byte(g.rnd.IntN(256))
		}
		return value.UUID(u)
	case value.KindFloat:
		f := math.Float64frombits(g.rnd.Uint64())
		if g.rnd.IntN(2) == 0 {
			f = []float64{0, math.Copysign(0, -1), 1, 1e5, 1e21, 1e-7, 0.1, -1.5, math.MaxFloat64, 5e-324}[g.rnd.IntN(10)]
		}
		if g.plain && (math.IsNaN(f) || math.IsInf(f, 0)) {
			f = 1
		}
		return value.Float(f)
	case value.KindBytes:
		return value.Bytes([]byte(g.string()))
	case value.KindString:
		return value.String(g.string())
	}
	return value.Null()
}

// value builds one value.
func (g *docGen) value(b value.Builder, depth int) {
	g.budget--
	kind := value.KindString
	if depth < 6 && g.budget > 0 {
		kind += value.Kind(g.rnd.IntN(5))
	}
	if g.plain && kind == value.KindCollection {
		kind = value.KindDict
	}
	switch {
	case kind == value.KindList:
		b.Begin(kind)
		g.inList++
		for n := g.rnd.IntN(5); n > 0; n-- {
			g.value(b, depth+1)
		}
		g.inList--
		b.End()
	case kind.IsContainer():
		g.dict(b, kind, depth)
	case !g.plain && g.rnd.IntN(10) == 0:
		b.Link(g.string())
	default:
		b.Scalar(g.scalar())
	}
}

func (g *docGen) dict(b value.Builder, kind value.Kind, depth int) {
	b.Begin(kind)
	seen := map[value.Value]bool{}
	for n := g.rnd.IntN(6); n > 0; n-- {
		k := value.String(g.string())
		if !g.textKeys && g.rnd.IntN(4) == 0 {
			k = g.scalar()
		}
		if seen[k] || g.noEmptyKey && g.inList > 0 && k == value.String("") {
			continue
		}
		seen[k] = true
		b.Key(k)
		if g.noEmptyKey && k == value.String("") {
			b.Scalar(g.scalar())
			continue
		}
		g.value(b, depth+1)
	}
	b.End()
}

// newDocGen returns a generator for a seed.
func newDocGen(seed uint64) *docGen {
	return &docGen{rnd: rand.New(rand.NewPCG(seed, 0)), budget: 60}
}
