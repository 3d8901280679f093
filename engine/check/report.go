package check

import (
	"errors"
	"fmt"

	"pongofs/engine/layout"
)

// Severity says what a finding means.
type Severity string

// The severities.
const (
	// Note is worth knowing, and breaks no rule.
	Note Severity = "note"
	// Error breaks a rule; everything that is stored can still be read.
	Error Severity = "error"
	// Lost breaks a rule, and something that was stored cannot be read.
	Lost Severity = "lost"
)

// The rules that findings name, after the sections of docs/format.md.
const (
	RuleHeader     = "header"
	RuleCheckpoint = "checkpoint"
	RuleLength     = "length"     // of the file
	RuleRoot       = "root"       // root record
	RuleIDTable    = "id-table"   // from ids to container records
	RuleRecord     = "container"  // container record
	RuleBody       = "body"       // leaves and inner nodes
	RuleItem       = "item"       // one entry
	RuleValue      = "value"      // blob of a value
	RuleXattr      = "xattr"      // extended attributes
	RuleObject     = "object"     // header or checksum of an object
	RuleReferrer   = "referrer"   // each object has one
	RuleOverlap    = "overlap"    // no two objects share bytes
	RuleCount      = "count"      // figures that follow from others
	RuleAllocation = "allocation" // allocated is what is reachable
	RuleUnlinked   = "unlinked"   // what open files have left behind
	RuleSnapshot   = "snapshot"
)

// Finding is one thing that is wrong, or worth knowing.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"`
	// Place is the path of the entry, "/" for the root, or the part of the file.
	Place string `json:"place"`
	// Offset is where in the file, 0 if that has no meaning.
	Offset uint64 `json:"offset,omitempty"`
	Cause  string `json:"cause"`
	// Remedy is what to do about it; Report.Add fills it in.
	Remedy string `json:"remedy,omitempty"`
	// Entries is how many entries are lost, as far as is known.
	Entries uint64 `json:"lost_entries,omitempty"`
}

// Report is what a check has found.
type Report struct {
	// Limit is how many findings are kept; 1000 when it is 0.
	Limit    int       `json:"-"`
	Findings []Finding `json:"findings"`
	// Errors and LostParts count all findings of those severities, the ones
	// beyond Limit included.
	Errors    int `json:"errors"`
	LostParts int `json:"lost"`
	More      int `json:"findings_left_out,omitempty"`
	torn      int // checkpoint records that seem to be written in part

	// Readable reports that there is a way into the newest version.
	Readable   bool   `json:"readable"`
	Seq        uint64 `json:"seq"`         // of the newest version checked
	DurableSeq uint64 `json:"durable_seq"` // of the newest checkpoint record
	Versions   int    `json:"versions"`    // checked: the newest one and the snapshots
	Containers uint64 `json:"containers"`  // of the newest version
	Entries    uint64 `json:"entries"`
	Objects    int64  `json:"objects"` // visited, in all versions
	Bytes      int64  `json:"bytes"`
}

// Clean reports whether no rule is broken.
func (r *Report) Clean() bool { return r.Errors+r.LostParts == 0 }

// Add adds a finding, with the remedy of its rule if it has none of its own.
func (r *Report) Add(f Finding) {
	if f.Remedy == "" {
		f.Remedy = remedy(&f)
	}
	switch f.Severity {
	case Error:
		r.Errors++
	case Lost:
		r.LostParts++
	}
	if r.full() {
		r.More++
		return
	}
	r.Findings = append(r.Findings, f)
}

// full reports that no more findings are kept.
func (r *Report) full() bool {
	limit := r.Limit
	if limit == 0 {
		limit = 1000
	}
	return len(r.Findings) >= limit
}

// Notef adds a note.
func (r *Report) Notef(rule, place, format string, args ...any) {
	r.Add(Finding{Severity: Note, Rule: rule, Place: place, Cause: fmt.Sprintf(format, args...)})
}

// Completed tells, after Pages, which checkpoint is known to have been made
// durable. If that record and all later ones are gone, a page that looks like one
// written in part is damage: no power cut takes back what was synced. (With no
// such page the file is an older copy of the store, put in its place.)
func (r *Report) Completed(seq uint64) {
	if r.torn == 0 || r.DurableSeq >= seq {
		return
	}
	r.Add(Finding{
		Severity: Error, Rule: RuleCheckpoint, Place: "checkpoint pages",
		Cause: fmt.Sprintf("the record of version %d was damaged after it had become durable; the newest that is left is of %d", seq, r.DurableSeq),
	})
}

// cause returns the reason in err and where in the file it is.
func cause(err error) (string, uint64) {
	var c *layout.CorruptError
	if errors.As(err, &c) {
		return c.What + " " + c.Reason, uint64(c.Ref)
	}
	return err.Error(), 0
}

// ruleError is an error that breaks a rule of its own, whatever was being read.
type ruleError struct {
	rule string
	err  error
}

// Error returns the message of the wrapped error.
func (e *ruleError) Error() string { return e.err.Error() }

// Unwrap returns the wrapped error.
func (e *ruleError) Unwrap() error { return e.err }
