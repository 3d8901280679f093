package check

// remedies say what to do about a finding: of a severity, "" for any rule, and
// of the rules for which that would be wrong. A test demands that no finding
// goes without.
var remedies = map[Severity]map[string]string{
	Note: {
		"":             "nothing needs to be done",
		RuleAllocation: "pongofs gc frees them",
		RuleSnapshot:   "drop snapshots and check again",
	},
	Error: {
		"": "pongofs check --repair puts it right",
		// Going on makes it worse, repair is for a store that nobody has open.
		RuleAllocation: "close it everywhere before more is overwritten, then run pongofs check --repair",
	},
	Lost: {
		"":             "restore it from a backup, or keep the rest with pongofs check --repair",
		RuleCheckpoint: "restore it from a backup: there is no way into the store",
		RuleXattr:      "set the attributes anew; pongofs check --repair keeps the rest",
	},
}

// remedy returns what to do about a finding.
func remedy(f *Finding) string {
	of := remedies[f.Severity]
	if text, ok := of[f.Rule]; ok {
		return text
	}
	return of[""]
}
