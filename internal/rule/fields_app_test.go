package rule

import (
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func TestFieldsOfAnAppSayWhatIsKnown(t *testing.T) {
	day := 24 * time.Hour
	now := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	used := func(since, through, last time.Time) *event.AppView {
		return &event.AppView{UsedKnown: true, UsedSince: since, UsedThrough: through, LastUsed: last}
	}
	born := func(created, seen time.Time) *event.AppView {
		v := used(now.Add(-100*day), now, time.Time{})
		v.Created, v.FirstSeen = created, seen
		return v
	}
	for _, c := range []struct {
		name, text string
		env        Env
		want       string
	}{
		{"an app outside the inventory has the origin of its record", `app.origin == "first_party" && app.first_party`, Env{AppOrigin: "first_party"}, "true"},
		{"what the inventory says of the origin wins", `app.first_party`, Env{AppOrigin: "first_party", App: &event.AppView{Origin: "external"}}, "false"},
		{"an origin that nobody says is unknown", `app.first_party == null`, Env{App: &event.AppView{}}, "true"},
		{"owners that are not collected are unknown", `length(app.owners) == null`, Env{App: &event.AppView{}}, "true"},
		{"owners that are collected may be none", `length(app.owners) == 0`, Env{App: &event.AppView{OwnersKnown: true}}, "true"},
		{"idle is counted up to now", `app.idle == duration("20d")`, Env{App: used(now.Add(-100*day), now, now.Add(-20*day))}, "true"},
		{"a source that ended makes no app idle", `app.idle == duration("5d")`, Env{App: used(now.Add(-200*day), now.Add(-95*day), now.Add(-100*day))}, "true"},
		{"a use behind the end of a source is not idle", `app.idle == duration("0s")`, Env{App: used(now.Add(-200*day), now.Add(-95*day), now.Add(-20*day))}, "true"},
		{"an app is idle since it was made", `app.idle == duration("5d")`, Env{App: born(now.Add(-5*day), now.Add(-day))}, "true"},
		{"an app that nobody says when it was made is idle since it was first seen", `app.idle == duration("1d")`, Env{App: born(time.Time{}, now.Add(-day))}, "true"},
		{"without an end idle is unknown", `app.idle == null`, Env{App: used(now.Add(-200*day), time.Time{}, time.Time{})}, "true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.env.Now = now
			got, diags := evaluate(t, sampleChecker(t), c.text, &c.env)
			if diags.HasErrors() || got != c.want {
				t.Errorf("%s = %s, want %s; %v", c.text, got, c.want, diags)
			}
		})
	}
}
