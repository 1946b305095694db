package config

// Effective is the settings of one resource as they apply. It is immutable.
type Effective struct {
	catalogue *Catalogue
	layers    []layer
}

type layer struct {
	source Source
	values map[string]string
	topic  bool // keys are those of the topic or group itself, not of a broker
}

// Synonym is one place that could give a setting its value.
type Synonym struct {
	Name   string
	Value  *string // nil: null
	Source Source
}

// Entry is one setting as DescribeConfigs shows it.
type Entry struct {
	*Definition
	Value    *string // nil: null or sensitive
	Source   Source
	ReadOnly bool
	Synonyms []Synonym
}

// Value returns the value of a setting; false when it is null or not known.
func (e Effective) Value(name string) (string, bool) { return e.value(name) }

// String returns the value of a setting, "" when it is null.
func (e Effective) String(name string) string { v, _ := e.value(name); return v }

// Int64 returns the value of a numeric setting.
func (e Effective) Int64(name string) int64 { return e.int64(name) }

// Int32 returns the value of a numeric setting.
func (e Effective) Int32(name string) int32 { return int32(e.int64(name)) }

// Float64 returns the value of a double.
func (e Effective) Float64(name string) float64 { return e.float64(name) }

// Bool returns the value of a boolean setting.
func (e Effective) Bool(name string) bool { v, _ := e.value(name); return parseBool(v) }

// List returns the value of a list.
func (e Effective) List(name string) []string { v, _ := e.value(name); return splitList(v) }

// Source says where the value comes from.
func (e Effective) Source(name string) Source { return e.source(name) }

// Synonyms returns every place that sets the value, beginning with the one that wins.
func (e Effective) Synonyms(name string) []Synonym { return e.synonyms(name) }

// Entry returns one setting as DescribeConfigs shows it; false when there is no such setting.
func (e Effective) Entry(name string) (Entry, bool) { return e.entry(name) }

// Entries returns all settings as DescribeConfigs shows them, by name.
func (e Effective) Entries() []Entry { return e.entries() }
