// Package referee is a second stand-in of the Toloka API, for tests alone. It is
// written from the published description of the API, imports nothing of the module and
// has no rule in common with it, so that it sees what the module is blind to: two
// programs that share a mistake agree on it.
//
// What goes in: requests, each with a Fate, which says what the server does with it and
// what the client hears of that. What comes out: answers, and an account of every task
// that exists, by its Identity, for an auditor.
//
// A Server is an http.RoundTripper, an http.Handler, or is called by Do with the fate of
// each request. It has no goroutine and no timer: what happens later happens before the
// first request that comes after that time. So it works with testing/synctest, and is
// deterministic wherever its requests are.
//
// Memory: all tasks and operations, with the bodies that they were sent in.
package referee
