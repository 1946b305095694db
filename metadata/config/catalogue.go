package config

import (
	"iter"
	"slices"
)

// Catalogue is a set of settings by name. It is immutable.
type Catalogue struct {
	sorted []*Definition
	byName map[string]*Definition
}

func newCatalogue(definitions []*Definition) *Catalogue {
	c := &Catalogue{sorted: slices.Clone(definitions), byName: make(map[string]*Definition, len(definitions))}
	slices.SortFunc(c.sorted, func(a, b *Definition) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	for _, d := range definitions {
		c.byName[d.Name] = d
	}
	return c
}

// Get returns the setting of that name, nil when there is none.
func (c *Catalogue) Get(name string) *Definition { return c.byName[name] }

// All walks the settings by name.
func (c *Catalogue) All() iter.Seq[*Definition] { return slices.Values(c.sorted) }

// Len returns the number of settings.
func (c *Catalogue) Len() int { return len(c.sorted) }
