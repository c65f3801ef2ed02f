package catalog_test

import (
	"slices"
	"testing"

	"meridian/persistence/catalog"
)

// TestFindDatabases lists pages, and finds a part of a name as it is written.
func TestFindDatabases(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"orders", "orders-eu", "stock", "or-ders", "x9"} {
		h.submit(spec(name, "15"), 0)
	}
	for name, test := range map[string]struct {
		f    catalog.DatabaseFilter
		want []string
	}{
		"all":                {catalog.DatabaseFilter{}, []string{"or-ders", "orders", "orders-eu", "stock", "x9"}},
		"of the namespace":   {catalog.DatabaseFilter{Namespace: "default", Limit: 2}, []string{"or-ders", "orders"}},
		"the next page":      {catalog.DatabaseFilter{AfterNamespace: "default", AfterName: "orders", Limit: 2}, []string{"orders-eu", "stock"}},
		"after the last":     {catalog.DatabaseFilter{AfterNamespace: "default", AfterName: "x9"}, nil},
		"an elder namespace": {catalog.DatabaseFilter{AfterNamespace: "a", AfterName: "zz", Limit: 1}, []string{"or-ders"}},
		"a part":             {catalog.DatabaseFilter{Search: "orders"}, []string{"orders", "orders-eu"}},
		"a part, next page":  {catalog.DatabaseFilter{Search: "orders", AfterNamespace: "default", AfterName: "orders"}, []string{"orders-eu"}},
		"no pattern":         {catalog.DatabaseFilter{Search: "o%s"}, nil},
		"no single letter":   {catalog.DatabaseFilter{Search: "x_"}, nil},
		"another namespace":  {catalog.DatabaseFilter{Namespace: "other"}, nil},
	} {
		found, err := h.FindDatabases(t.Context(), test.f)
		h.must(err)
		var got []string
		for _, d := range found {
			got = append(got, d.Name)
		}
		slices.Sort(test.want) // as the store sorts hyphens
		if test.f.Limit == 0 {
			slices.Sort(got)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
