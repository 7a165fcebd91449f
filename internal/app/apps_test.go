package app

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// However many pass, the first ones in the order that is asked for are kept.
func TestTheFirstAppsAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := foundApps{limit: rapid.IntRange(0, 5).Draw(t, "limit")}
		var all []foundApp
		for i := range rapid.IntRange(0, 400).Draw(t, "apps") {
			x := foundApp{key: fmt.Sprint("k", i), name: rapid.StringMatching("[aB]{1,2}").Draw(t, "name"), rank: rapid.Int64Range(-2, 2).Draw(t, "rank")}
			f.add(nil, x.key, x.name, x.rank)
			x.name = strings.ToLower(x.name)
			all = append(all, x)
		}
		slices.SortFunc(all, func(x, y foundApp) int {
			return cmp.Or(cmp.Compare(y.rank, x.rank), strings.Compare(x.name, y.name), strings.Compare(x.key, y.key))
		})
		if f.limit > 0 {
			all = all[:min(f.limit, len(all))]
		}
		if got := firstOnes(f.kept, f.limit); !slices.Equal(got, all) || f.limit > 0 && len(f.kept) > 2*f.limit+100 {
			t.Fatalf("%d kept\n%v\nwant\n%v", len(f.kept), got, all)
		}
	})
}

func TestAQuestionForAppsWithALimitBeyondAllReasonIsRefused(t *testing.T) {
	live(t, "it is a mistake of the question", func(t *testing.T, w *world) {
		w.run(t, func(a *Agent) {
			for limit, want := range map[string]int{"4611686018427387904": http.StatusBadRequest, "-1": http.StatusBadRequest, "1000000": http.StatusOK} {
				r := httptest.NewRecorder()
				a.Handler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/apps?limit="+limit, nil))
				if r.Code != want {
					t.Errorf("limit %s: %d %s", limit, r.Code, r.Body)
				}
			}
		})
	})
}

func TestTheFirstQuestionOfADayFindsUsageWorkedOut(t *testing.T) {
	const apps = 20_000
	a := large(t, apps, apps)
	for _, x := range a.tenants {
		a.workAhead(x)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	list, err := a.Apps(AppQuery{Where: "app.calls > 1000000"})
	runtime.ReadMemStats(&after)
	if err != nil || list.Total != apps {
		t.Fatal(list.Total, err)
	}
	if n := after.Mallocs - before.Mallocs; n >= apps { // what is worked out is kept in one piece for each app
		t.Errorf("the question allocates %d times: usage was worked out by it", n)
	}
}
