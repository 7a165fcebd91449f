package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/appgovd/appgovd/internal/event"
)

// asns writes a database of networks, as GeoLite2-ASN and GeoLite2-Country
// together would be, by renaming.
func asns(t *testing.T, path string, networks map[string]uint32) {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for cidr, asn := range networks {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Insert(network, mmdbtype.Map{
			"autonomous_system_number": mmdbtype.Uint32(asn), "autonomous_system_organization": mmdbtype.String(fmt.Sprintf("Net %d", asn)),
			"country": mmdbtype.Map{"iso_code": mmdbtype.String("NL")},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	replace(t, path, b.Bytes())
}

func replace(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// signIn makes the source read one sign-in of a service principal.
func (w *world) signIn(n int, ip string) {
	now := time.Now().UTC()
	w.pageOnce(event.Page{Fetched: 1, CompleteThrough: now, Events: []event.Event{{
		ID: event.NewID("event", fmt.Sprint(n)), Content: event.NewID("content", fmt.Sprint(n)), Provider: "entra", Tenant: "t", Source: theSource,
		Class: event.ClassSignIn, Time: now, Observed: now, Action: "app.signin", Result: event.ResultSuccess, SignIn: event.SignIn{Kind: "service_principal"},
		App: event.App{AppID: "11111111-0000-4000-8000-000000000000", Name: "Backup", OwnerTenant: "t"}, Origin: event.Origin{IP: ip},
	}}})
}

// newASN are the ECS documents of the shipped rule.
func (w *world) newASN(t *testing.T) (docs []map[string]any) {
	t.Helper()
	for line := range strings.Lines(w.out.String()) {
		if strings.Contains(line, "entra.signin.new_asn") {
			var d map[string]any
			if err := json.Unmarshal([]byte(line), &d); err != nil {
				t.Fatal(err)
			}
			docs = append(docs, d)
		}
	}
	return docs
}

func TestNetworksOfAddresses(t *testing.T) {
	rules, err := filepath.Abs("../../rules")
	if err != nil {
		t.Fatal(err)
	}
	home := map[string]uint32{"81.2.69.0/24": 64500}
	live(t, "a sign-in from another network is told with network and country, by a database that was replaced meanwhile", func(t *testing.T, w *world) {
		db := filepath.Join(w.dir, "asn.mmdb")
		asns(t, db, home)
		w.rules, w.step, w.more = rules, time.Hour, "geoip {\n  asn_database = \"asn.mmdb\"\n}\n"
		w.signIn(1, "81.2.69.1")
		w.run(t, func(*Agent) {
			pass(10 * 24 * time.Hour)
			asns(t, db, map[string]uint32{"81.2.69.0/24": 64500, "89.160.20.0/24": 64511})
			pass(2 * time.Hour)
			w.signIn(2, "89.160.20.9")
			pass(2 * time.Hour)
			w.signIn(3, "81.2.69.7")
			pass(2 * time.Hour)
		})
		docs := w.newASN(t)
		if len(docs) != 1 {
			t.Fatalf("%d alerts, want 1: %v\n%s", len(docs), docs, w.out.String())
		}
		got, err := json.Marshal(docs[0]["source"])
		if err != nil {
			t.Fatal(err)
		}
		const want = `{"address":"89.160.20.9","as":{"number":64511,"organization":{"name":"Net 64511"}},"geo":{"country_iso_code":"NL"},"ip":"89.160.20.9"}`
		if string(got) != want {
			t.Errorf("source is %s\nwant      %s", got, want)
		}
	})
	live(t, "a database that breaks or goes is an alarm and no event is lost, until a whole one is there", func(t *testing.T, w *world) {
		db := filepath.Join(w.dir, "asn.mmdb")
		asns(t, db, home)
		w.more = "geoip {\n  country_database = \"asn.mmdb\"\n}\n"
		w.run(t, func(a *Agent) {
			for i, damage := range []func(){func() { replace(t, db, []byte("half a file")) }, func() { _ = os.Remove(db) }} {
				damage()
				pass(3 * time.Minute)
				w.raised(t, a, "geoip/"+db, "medium: A database of addresses cannot be read", "asn.mmdb")
				w.signIn(i, "81.2.69.1")
				pass(2 * time.Minute)
				if acc := a.Status().Sources[0].Account; acc.New != uint64(i+1) || !acc.Balanced() {
					t.Errorf("%+v: want %d new", acc, i+1)
				}
				asns(t, db, home)
				pass(2 * time.Minute)
				w.calm(t, a, "geoip/"+db)
			}
		})
		w.wantTold(t, "geoip/"+db, "new", "resolved", "new", "resolved")
	})
}

func TestMistakesInGeoIP(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"junk.mmdb": "junk", "empty.mmdb": ""} {
		replace(t, filepath.Join(dir, name), []byte(text))
	}
	for _, c := range []struct{ name, block, want string }{
		{"a missing file is found, at its attribute", "geoip {\n  asn_database = \"absent.mmdb\"\n}\n", "agent.hcl:2,18-31: Cannot use asn_database; open database: open " + dir + "/absent.mmdb: no such file"},
		{"a file that is no database", "geoip {\n  country_database = \"junk.mmdb\"\n}\n", "agent.hcl:2,22-33: Cannot use country_database; read database " + dir + "/junk.mmdb"},
		{"an empty file", "geoip {\n  country_database = \"empty.mmdb\"\n}\n", "the file is empty. the file must be a MaxMind database"},
		{"a directory", "geoip {\n  asn_database = \".\"\n}\n", "not a file of at most"},
		{"a block without a database", "geoip {}\n", "agent.hcl:1,1-6: Empty geoip block"},
		{"a second block", "geoip {\n  asn_database = \"junk.mmdb\"\n}\ngeoip {}\n", "agent.hcl:4,1-6: Duplicate geoip block"},
		{"an unknown attribute", "geoip {\n  asn_databse = \"x\"\n}\n", "agent.hcl:2,3-14: Unsupported argument"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := filepath.Join(dir, "agent.hcl")
			replace(t, conf, []byte(c.block+"sink \"stdout\" \"x\" {}\n"))
			_, diags := Check(conf)
			var all []string
			for _, d := range diags {
				all = append(all, d.Error())
			}
			if got := strings.Join(all, "\n"); !diags.HasErrors() || !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
