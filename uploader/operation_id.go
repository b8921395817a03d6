package uploader

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"poolfill/batcher"
)

// namespace is the namespace of operation ids. Changing it, or what goes into
// the name below, makes every upload that is under way start again.
const namespace = "5b3a0a52-8f0e-5d5c-9c39-3d9b2a2f6d41"

// OperationName is all that an operation id depends on.
type OperationName struct {
	// PoolID is the pool, and RunKey tells uploads to it apart.
	PoolID, RunKey string
	// Place is where the chunk stands in the inputs, see batcher.Chunk.Place.
	Place batcher.Key
	// Base is the index of the first task that is sent, counted in the whole chunk; Len
	// the number of tasks.
	Base, Len int
	// Sum stands for the tasks of the request, see batcher.Chunk.Sum.
	Sum batcher.Key
	// Generation counts the operations that failed with nothing done: a failed
	// operation has used up its id.
	Generation int
}

// OperationID is the id under which the tasks are sent: a name-based UUID
// (version 5). The same tasks of the same run always get the same id, even if
// nothing is remembered, and the server takes an id once.
func OperationID(n OperationName) string {
	name := strings.Join([]string{
		strconv.Quote(n.PoolID),
		strconv.Quote(n.RunKey),
		hex.EncodeToString(n.Place[:]),
		strconv.Itoa(n.Base),
		strconv.Itoa(n.Len),
		hex.EncodeToString(n.Sum[:]),
		strconv.Itoa(n.Generation),
	}, " ")
	return uuid.NewSHA1(uuid.MustParse(namespace), []byte(name)).String()
}
