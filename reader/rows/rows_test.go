package rows

import (
	"iter"
	"testing"

	"go.uber.org/goleak"

	"poolfill/reader/table"
	"poolfill/reader/table/tabletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRowsAreATable(t *testing.T) {
	tabletest.Run(t, tabletest.Format{
		Open: func(_ testing.TB, records tabletest.Records, o table.Options) (table.Table, error) {
			next, stop := iter.Pull2(records)
			defer stop()
			header, err, _ := next()
			if err != nil {
				return nil, err
			}
			return New("rows", header, func(yield func([]string, error) bool) {
				first := true
				for cells, err := range records {
					if !first && !yield(cells, err) {
						return
					}
					first = false
				}
			}, o), nil
		},
	})
}
