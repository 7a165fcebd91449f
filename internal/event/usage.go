package event

// AppUsage is what rules see of the use of an app: the last whole day, UTC, the day
// at hand so far, and the mean of the whole days before it. What is not known is not
// zero.
type AppUsage struct {
	Self             bool // one of the apps by which appgovd itself reads the tenant
	Day, Today, Mean UseFigures
}

// UseParts says which parts of an AppUsage somebody wants: each costs time of its own.
type UseParts uint8

// The parts of an AppUsage beside Self: what it says of today, and of the days before.
const (
	UseToday UseParts = 1 << iota
	UsePast
)

// UseFigures are figures of the use of an app on a day.
type UseFigures struct {
	CallsKnown    bool
	Calls, Errors int64
	UsersKnown    bool
	Users         int64
	BytesKnown    bool // of at least one call, or there was none
	Bytes         int64
	SignInsKnown  bool
	SignIns       int64
	Failures      int64 // of sign-ins
}
