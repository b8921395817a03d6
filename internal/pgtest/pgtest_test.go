package pgtest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func do(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	for range 2 {
		do(t, connect(t, URL(t)), "CREATE TABLE a (b int)")
	}
}

func TestAKilledServerComesBackWithWhatWasCommitted(t *testing.T) {
	s := Start(t)
	conn := connect(t, s.URL("postgres"))
	do(t, conn, "CREATE TABLE a (b int)")
	s.Kill()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Fatal("the server still answers")
	}
	s.Restart()
	do(t, connect(t, s.URL("postgres")), "INSERT INTO a VALUES (1)")
}
