// Package simulation has tests alone: whole runs of an upload, by seed, in which the
// world does what it likes. Its three parts know nothing of each other: an environment
// (network_test.go, and package referee, the server), a generator that decides what
// happens and when (history_test.go), and an auditor that knows the right end
// (audit_test.go). What is used of the module is in adapter_test.go.
//
// Next to it stands a model of the protocol (model_test.go): a page of state and actions,
// in which no code of the module runs.
//
//	go test ./internal/simulation -run TestSimulation -seed 7 -v       replays a history
//	go test ./internal/simulation -run TestSimulation -seeds 20000     runs many
//	go test ./internal/simulation -run TestSimulation -kinds kill,late plays with these, see notYet
//	go test ./internal/simulation -tags sweep -run TestEachFault -sweep 100 -v     shows what each fault breaks
package simulation
