package chaos

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestStoresOfTemporal is the suite with Temporal on each store of its own, which is killed in the middle: nothing may be found.
func TestStoresOfTemporal(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	for store, seed := range map[string]uint64{OnPostgres: 335, OnCassandra: 343} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			o := options(t, "meridian/orchestrator/e2e/chaos/cmd/cassandra")
			if store == OnCassandra && !hasCassandra() {
				t.Skip("no Cassandra on this machine: .ci/cassandra.sh gets one")
			}
			o.Seed, o.Kills, o.Databases, o.Directories, o.Postgres, o.Temporal = seed, 8, 2, 5, true, store
			result, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(result)
			if !result.Zero() {
				t.Errorf("found something: %s", result)
			}
			if store == OnPostgres && result.Stores == 0 || store == OnCassandra && result.Temporals == 0 {
				t.Errorf("%d blows on the rows' PostgreSQL, %d on Temporal's Cassandra: want some on what Temporal is on", result.Stores, result.Temporals)
			}
			if left := processes(filepath.Dir(o.Aside)); len(left) > 0 {
				t.Errorf("it left processes: %+v", left)
			}
		})
	}
}

// hasCassandra reports whether the jars are where .ci/cassandra.sh puts them.
func hasCassandra() bool {
	places := []string{"/var/cache/meridian/cassandra/*"}
	if cache, err := os.UserCacheDir(); err == nil {
		places = append(places, filepath.Join(cache, "meridian", "cassandra", "*"))
	}
	return slices.ContainsFunc(append(places, filepath.SplitList(os.Getenv("MERIDIAN_CASSANDRA_HOME"))...), func(pattern string) bool {
		found, _ := filepath.Glob(pattern)
		return slices.ContainsFunc(found, func(dir string) bool { return !strings.HasPrefix(filepath.Base(dir), ".") })
	})
}

// TestDecisionsOnTemporal deals blows on Temporal's Cassandra, and leaves every other decision as it is without one.
func TestDecisionsOnTemporal(t *testing.T) {
	t.Parallel()
	hit := map[Blow]int{}
	without := Decide(7, 500, Cast{Roles: Roles(), Store: true})
	for i, d := range Decide(7, 500, Cast{Roles: Roles(), Store: true, Temporal: true}) {
		if !slices.Contains(d.Roles, RoleTemporal) {
			if d.String() != without[i].String() || d.After != without[i].After {
				t.Errorf("%s was %s without a Cassandra", d, without[i])
			}
			continue
		}
		hit[d.Blow]++
		if len(d.Roles) != 1 || (d.Blow == BlowStop) != (d.Hold > 0) {
			t.Errorf("%+v is out of its bounds", d)
		}
	}
	if hit[BlowKill] < 10 || hit[BlowStop] < 5 || len(hit) != 2 {
		t.Errorf("blows on it: %v", hit)
	}
}
