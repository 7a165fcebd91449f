// Package route owns the decision which sinks an alert goes to, and when: the tree
// of routes with its explanation, and for each sink a board on which the alerts of
// routes for people are grouped, counted, muted, silenced and inhibited. Both are
// deterministic: a board changes by its operations alone, and time comes with them.
//
// What a board does, sentence by sentence (each has a test):
//
//   - An alert joins the group of its route and labels, and stays in it while it is open,
//     whatever becomes of its labels.
//   - A group is told group_wait after its first alert, then at most every
//     group_interval, when an alert joined or said something new. That some of its
//     alerts are over is no news by itself; that all are is, and ends the group.
//   - What is over before anybody was told is not told. A group whose alerts say nothing
//     is told again every repeat_interval. An alert without news for resolve_after is over.
//   - No span of a rate has more notices than it may: where more groups are due than
//     there are notices left, the gravest are told one by one and the last notice is a
//     summary of all others. Groups that are known by a summary alone end with it. What is
//     over waits behind what is open, and gets its turn.
//   - While a route is muted nothing is told, ends included; then what is still so.
//   - A silenced alert, and one that a graver one inhibits, is left out of notices and
//     counted there; it is told when that ends, if it is still open. A silence that is
//     added later reaches the alerts of a group that are kept whole; those known by id or
//     number alone keep to what held when they came.
//   - Any alert that the sink's reader meets can be a source of an inhibition, whatever
//     its route, for SourceAfter without news.
//   - A group whose route is gone, or groups otherwise, is told once more as it stands, at
//     most three notices a minute, mutes aside; what is silenced then is counted as such.
//   - A clock that goes back by up to a minute is waited for; one that was set back takes
//     the times of the board with it.
package route
