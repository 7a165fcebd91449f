package sim

import "fmt"

// catalog is the vocabulary from which names, places and permissions are
// picked. It is built once per cloud and never changed.
type catalog struct {
	companies, products, purposes []string
	first, last                   []string
	places                        []place
	resources                     []resource
	directory                     []activity // background audits, by weight
	browsers                      []browser
	failures                      []failure
}

type place struct {
	city, state, country string
	lat, lon             float64
}

// network is one provider network: a /24 out of the benchmark range of
// RFC 2544, a private-use AS number of RFC 6996, one place. Nothing in the
// simulation is anybody's real address.
type network struct {
	index int
	place place
}

const (
	networks       = 512
	attackNetworks = 32 // the last ones: nothing of the background comes from there
)

func (c *Cloud) network(i int) network {
	return network{index: i, place: c.cat.places[i%len(c.cat.places)]}
}

func (n network) ip(host int) string {
	return fmt.Sprintf("198.%d.%d.%d", 18+n.index>>8, n.index&0xff, 1+host%254)
}

func (n network) asn() int { return 64512 + n.index }

type browser struct{ agent, name, system string }

type failure struct {
	code   int
	reason string
}

// resource is a first-party API that others get access to.
type resource struct {
	appID, name   string
	roles, scopes []permission
	low           []string // consented by the background; a leading space is usual (reported)
}

type permission struct{ id, value string }

// Positions in catalog.resources.
const (
	resGraph = iota
	resSharePoint
	resDirectory
	resExchange
	resManagement

	grantResources = 3 // so many of them have scopes that the background uses
)

// Application ids of the resources and the ids of their permissions are
// documented; the tests compare them with Microsoft's list.
func resources() []resource {
	return []resource{
		{appID: "00000003-0000-0000-c000-000000000000", name: "Microsoft Graph", roles: graphRoles(), scopes: graphScopes(),
			low: []string{" User.Read", " openid profile User.Read", " User.Read email openid", "User.Read", " profile openid User.Read"}},
		{appID: "00000003-0000-0ff1-ce00-000000000000", name: "Office 365 SharePoint Online",
			low: []string{" MyFiles.Read"}},
		{appID: "00000002-0000-0000-c000-000000000000", name: "Windows Azure Active Directory",
			low: []string{" User.Read", "User.Read"}},
		{appID: "00000002-0000-0ff1-ce00-000000000000", name: "Office 365 Exchange Online",
			roles: []permission{{"dc890d15-9560-4a4c-9b7f-a736ec74ec40", "full_access_as_app"}}},
		{appID: "c5393580-f805-4401-95e8-94b7a6ef2fc2", name: "Office 365 Management APIs"},
	}
}

func graphRoles() []permission {
	return []permission{
		{"97235f07-e226-4f63-ace3-39588e11d3a1", "User.ReadBasic.All"},
		{"df021288-bdef-4463-88db-98f22de89214", "User.Read.All"},
		{"810c84a8-4a9e-49e6-bf7d-12d183f40d01", "Mail.Read"},
		{"e2a3a72e-5f79-4c64-b1b1-878b674786c9", "Mail.ReadWrite"},
		{"b633e1c5-b582-4048-a93e-9f11b44c7e96", "Mail.Send"},
		{"7ab1d382-f21e-4acd-a863-ba3e13f7da61", "Directory.Read.All"},
		{"19dbc75e-c2e2-444c-a770-ec69d8559fc7", "Directory.ReadWrite.All"},
		{"9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30", "Application.Read.All"},
		{"1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9", "Application.ReadWrite.All"},
		{"06b708a9-e830-4db3-a914-8e69da51d44f", "AppRoleAssignment.ReadWrite.All"},
		{"01d4889c-1287-42c6-ac1f-5d1e02578ef6", "Files.Read.All"},
		{"332a536c-c7ef-4017-ab91-336970924f0d", "Sites.Read.All"},
		{"b0afded3-3588-46d8-8b3d-9842eff778da", "AuditLog.Read.All"},
		{"472e4a4d-bb4a-4026-98d1-0b0d74cb74a5", "SecurityAlert.Read.All"},
		{"9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8", "RoleManagement.ReadWrite.Directory"},
	}
}

func graphScopes() []permission {
	return []permission{
		{"e1fe6dd8-ba31-4d61-89e7-88639da4683d", "User.Read"},
		{"37f7f235-527c-4136-accd-4a02d197296e", "openid"},
		{"14dad69e-099b-42c9-810b-d002981feec1", "profile"},
		{"64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0", "email"},
		{"7427e0e9-2fba-42fe-b0c0-848c9e6a8182", "offline_access"},
		{"570282fd-fa5c-430d-a7fd-fc8dc98a9dca", "Mail.Read"},
		{"024d486e-b451-40bb-833d-3e66d98c5c73", "Mail.ReadWrite"},
		{"e383f46e-2787-4529-855e-0e479a3ffac0", "Mail.Send"},
		{"465a38f9-76ea-45b9-9f34-9e8b0d4b0b42", "Calendars.Read"},
		{"10465720-29dd-4523-a11a-6a75c743c9d9", "Files.Read"},
		{"ff74d97f-43af-4b68-9f2a-b77ee6968c5d", "Contacts.Read"},
	}
}

// role finds an application permission of Microsoft Graph by its name.
func (c catalog) role(value string) permission {
	for _, p := range c.resources[resGraph].roles {
		if p.value == value {
			return p
		}
	}
	return permission{id: nilGUID, value: value}
}

func newCatalog() catalog {
	return catalog{
		companies: []string{"Adatum", "Fabrikam", "Northwind", "Tailwind", "Proseware", "Litware", "Wingtip", "Trey", "Lucerne", "Alpine", "Graphic", "Humongous"},
		products:  []string{"Expense", "Travel", "Payroll", "Inventory", "Survey", "Signature", "Timesheet", "Roster", "Helpdesk", "Invoice", "Training", "Parking", "Visitor", "Wiki", "Backup", "Scanner"},
		purposes:  []string{"Portal", "Connector", "Sync", "Bot", "Tracker", "Agent", "Import", "Viewer", "Archive", "Desk"},
		first:     []string{"Amira", "Bo", "Chidi", "Dagny", "Elif", "Farid", "Greta", "Hana", "Ilja", "Jo", "Keiko", "Lucía", "Mads", "Nadia", "Oskar", "Priya"},
		last:      []string{"Aalto", "Brandt", "Costa", "Demir", "Eriksen", "Fischer", "Grøn", "Haddad", "Ito", "Jansen", "Kovács", "Lindqvist", "Moreau", "Novak", "Okafor", "Peeters"},
		places: []place{
			{"Oslo", "Oslo", "NO", 59.9133, 10.7389}, {"Utrecht", "Utrecht", "NL", 52.0908, 5.1222},
			{"Lyon", "Rhone", "FR", 45.7485, 4.8467}, {"Graz", "Steiermark", "AT", 47.0667, 15.45},
			{"Turku", "Varsinais-Suomi", "FI", 60.4515, 22.2687}, {"Cork", "Cork", "IE", 51.8979, -8.4706},
			{"Denver", "Colorado", "US", 39.7392, -104.9847}, {"Osaka", "Osaka", "JP", 34.6937, 135.5023},
		},
		resources: resources(),
		directory: backgroundActivities(),
		browsers: []browser{
			{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0", "Edge 141.0.0", "Windows10"},
			{"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox 143.0", "Linux"},
			{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Safari/605.1.15", "Safari 19.0", "MacOs"},
		},
		failures: []failure{
			{50126, "Error validating credentials due to invalid username or password."},
			{50074, "Strong Authentication is required."},
			{50055, "The password is expired."},
		},
	}
}

// user is one account, made again whenever it is needed.
type user struct{ id, name, upn string }

func (c *Cloud) user(i int) user {
	r := c.random(domUser, uint64(i))
	first, last := pick(r, c.cat.first), pick(r, c.cat.last)
	u := user{id: r.guid(), name: first + " " + last, upn: fmt.Sprintf("user%05d@contoso.example", i)}
	if i%20 == 19 { // a guest: reported shape of its UPN
		u.upn = fmt.Sprintf("user%05d_adatum.example#EXT#@contoso.example", i)
	}
	return u
}

func (c *Cloud) anyUser(r *rng) user { return c.user(r.intn(c.o.Users)) }
