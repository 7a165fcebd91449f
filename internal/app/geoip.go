package app

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/enrich"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
)

// checkGeoIP reads the databases that the configuration names, and lets go of
// them: one that is missing or broken is a mistake before the start.
func (p *Plan) checkGeoIP() hcl.Diagnostics {
	g := p.Config.GeoIP
	if g == nil {
		return nil
	}
	if len(databases(g)) == 0 {
		return hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Empty geoip block", Subject: &g.Range, Extra: diag.Code("empty_geoip"),
			Detail: "The block names no database. Set asn_database, country_database or both, or delete the block."}}
	}
	var diags hcl.Diagnostics
	for attr, path := range map[string]string{"asn_database": g.ASNDatabase, "country_database": g.CountryDatabase} {
		if path == "" {
			continue
		}
		if _, err := enrich.OpenMaxMind(enrich.MaxMindOptions{Files: []string{path}}); err != nil {
			rng := config.AttributeRange(g.Body, attr, g.Range)
			diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Cannot use " + attr, Subject: &rng, Extra: diag.Code("unreadable_file"),
				Detail: joinAdvice(err.Error(), fault.Hint(err))})
		}
	}
	return diags
}

func databases(g *config.GeoIP) (files []string) {
	for _, path := range []string{g.ASNDatabase, g.CountryDatabase} {
		if path != "" {
			files = append(files, path)
		}
	}
	return files
}

// geoip is the enrichment by databases of networks and countries; the zero value
// adds nothing.
type geoip struct {
	db       *enrich.MaxMind
	pipeline *enrich.Pipeline
}

func newGeoIP(g *config.GeoIP, d deps) (geoip, error) {
	if g == nil {
		return geoip{}, nil
	}
	log := d.log.Named("enrich")
	db, err := enrich.OpenMaxMind(enrich.MaxMindOptions{Files: databases(g), Log: log, Now: d.now})
	if err != nil {
		return geoip{}, err
	}
	return geoip{db, enrich.New(enrich.Options{Lookups: []enrich.Lookup{db}, Log: log, Metrics: d.metrics})}, nil
}

// enricher is nil where there is nothing to add.
func (g geoip) enricher() ingest.Enricher {
	if g.pipeline == nil {
		return nil
	}
	return g.pipeline
}

// watch raises an alarm for every database that cannot be read.
func (g geoip) watch(h *health) {
	if g.db == nil {
		return
	}
	for path, err := range g.db.Check() {
		if key := "geoip/" + path; err != nil {
			h.Raise(key, event.SeverityMedium, "A database of addresses cannot be read",
				path+": "+err.Error()+". Events go on without what it would add, or with its former content. Put a whole MaxMind database (.mmdb) there by renaming; it is read within a minute.")
		} else {
			h.Resolve(key, "the database is read")
		}
	}
}
