package coordinator

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNamesOfTenantsAreApart(t *testing.T) {
	for _, test := range []struct{ tenant, name, want string }{
		{DefaultTenant, "orders", "orders"},
		{"", "orders", "orders"},
		{"blue", "orders", "\x00blue\x00orders"},
		{DefaultTenant, "\x00blue\x00orders", "\x00default\x00\x00blue\x00orders"},
		{DefaultTenant, "", ""},
	} {
		if got := QualifiedName(test.tenant, test.name); got != test.want {
			t.Errorf("%q of %q: %q, want %q", test.name, test.tenant, got, test.want)
		}
	}
	if tenant, name := SplitName("\x00no tenant"); tenant != DefaultTenant || name != "\x00no tenant" {
		t.Errorf("what no tenant qualifies is %q of %q", name, tenant)
	}
}

func TestAnyNameIsFoundAgain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tenant := rapid.SampledFrom([]string{DefaultTenant, "blue", "b"}).Draw(rt, "tenant")
		name := rapid.SampledFrom([]string{"", "\x00", "\x00blue\x00"}).Draw(rt, "prefix") + rapid.String().Draw(rt, "name")
		if gotTenant, gotName := SplitName(QualifiedName(tenant, name)); gotTenant != tenant || gotName != name {
			rt.Errorf("%q of %q came back as %q of %q", name, tenant, gotName, gotTenant)
		}
	})
}
