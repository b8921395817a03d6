package explain

// All gives every entry: those of inputs first, those of the server last.
func All() []Entry {
	return []Entry{
		{
			"EMPTY_FILE", File, "The file has no header: it is empty, or holds only blanks and line ends.",
			"an export that was cut off before its first line", "Export the file again, and check its size.",
		},
		{
			"NO_ROWS", File, "There is a header and no row after it. That stops a run only where no other file has rows.",
			"INPUT:image on the first line, and nothing below", "Export the file again, or leave it out.",
		},
		{
			"NOT_TEXT", File, "The file is no CSV or TSV text: a workbook, an archive, a web page, JSON or the like.",
			"an Excel workbook that was renamed to tasks.csv", "Save it as CSV or TSV (in Excel: CSV UTF-8), or unpack it.",
		},
		{
			"ENCODING", File, "There are bytes that are no text in the charset in which the file is read, UTF-8 unless --encoding names another.",
			"the byte 0xE9 for é, which is how windows-1252 writes it", "Name the charset, such as --encoding windows-1252, or save the file as UTF-8.",
		},
		{
			"DELIMITER", File, "The header can be cut into columns in two ways.",
			"a;b,c, which is two columns at commas and two at semicolons", "Say what parts the cells: --delimiter comma, tab, semicolon or pipe.",
		},
		{
			"INPUT_UNREADABLE", File, "A file can't be opened or read.",
			"a path with a typing error", "Check the path and the rights to read it.",
		},
		{
			"HEADER_EMPTY", Header, "A column has no name.",
			"INPUT:image,,INPUT:title", "Name the column, or remove it from the file.",
		},
		{
			"HEADER_DUPLICATE", Header, "Two columns fill the same field.",
			"INPUT:image twice", "Remove one of them, or leave it out with --ignore-column.",
		},
		{
			"HEADER_NAME", Header, "A column's name can't be a field's: it has characters other than Latin letters, digits, - and _. Often the delimiter was not recognised, so that several columns look like one.",
			"image;title read as one column", "Give the delimiter with --delimiter, or rename the column, or use --map COLUMN=INPUT:name.",
		},
		{
			"HEADER_PREFIX", Header, "What stands before the colon of a column is not known, or is in lower case.",
			"input:image instead of INPUT:image", "Write INPUT:, GOLDEN:, HINT: or TASK:, or use --map or --ignore-column.",
		},
		{
			"HEADER_MIXED", Header, "Some columns have a prefix such as INPUT: and some have none, so that it is unclear what the latter are.",
			"INPUT:image,title", "Name them INPUT:title, or use --map title=INPUT:title or --ignore-column title.",
		},
		{
			"HEADER_MISSING", Header, "--map or --ignore-column names a column that the file doesn't have.",
			"--map picture=INPUT:image, and the column is called Picture", "Write the name as it stands in the file.",
		},
		{
			"FIELD_TASK", Header, "The file has coordinates columns (AI:latitude, AI:longitude): tasks on a map. They need task suites, which poolfill doesn't make.",
			"AI:latitude,AI:longitude,INPUT:name", "Upload them in Toloka's web interface, or leave the columns out with --ignore-column.",
		},

		{
			"COLUMN_COUNT", Row, "The row has more or fewer cells than the header. A cell that holds the delimiter must stand in quotes.",
			"1.png,a cat, asleep under a header of two columns: it reads as three cells", `Put the cell in quotes: 1.png,"a cat, asleep". If it is most rows, give the delimiter with --delimiter.`,
		},
		{
			"UNCLOSED_QUOTE", Row, "A cell begins with a quotation mark and no end of it was found.",
			`"A cat, without a second mark`, "Close the quote, or read quotes as ordinary characters with --quotes none.",
		},
		{
			"SWALLOWED_ROWS", Row, "A quoted cell goes on over lines that look like rows of this file: mostly its closing quote is missing, and those rows would be lost inside it.",
			`1.png,"a cat and the next 12 rows up to the next quotation mark`, "Close the quote, or use --quotes none; if such cells are meant, --multiline.",
		},
		{
			"CELL_TOO_LONG", Row, "A cell is longer than --max-cell-bytes allows. Mostly a quote is not closed.",
			"a cell of 5 MB", "Look for the quotation mark that opens it, or raise --max-cell-bytes.",
		},
		{
			"RECORD_TOO_LONG", Row, "A row is longer than --max-record-bytes allows. Mostly a quote is not closed.",
			"a row of 20 MB", "Look for the quotation mark that opens it, or raise --max-record-bytes.",
		},
		{
			"NUL_BYTE", Row, "A cell holds a byte of value zero, which no text has.",
			"a file that was damaged, or is UTF-16 in part", "Remove it, or export the file again.",
		},
		{
			"BYTE_ORDER_MARK", Row, "A byte order mark (U+FEFF) stands inside the file: files that each began with one were put together.",
			"cat a.csv b.csv > all.csv", "Remove it, or name the files one by one: poolfill upload a.csv b.csv.",
		},
		{
			"CONTROL_CHARACTER", Row, "A cell holds the character U+001A, with which DOS programs mark the end of a file.",
			"an old program's export", "Remove the character.",
		},
		{
			"OVERLAP", Row, "TASK:overlap is no whole number from 1 to 30,000 and not infinite, or contradicts TASK:infinite_overlap.",
			"0, or 2.5", "Write a number such as 3, or infinite, or leave the cell empty for the pool's default.",
		},
		{
			"TASK_VALUE", Row, "Another TASK: column, or a weight of a solution, holds what can't be read.",
			"a correctness_weight of 2, as it goes from 0 to 1", "Mend the cell as the message says, or empty it.",
		},
		{
			"OTHER", Row, "There are more than 1,000 kinds of rejections; the rest are counted together.",
			"a file whose every row is wrong in another way", "See the file of rejected rows, which has all of them.",
		},

		{
			"EMPTY_ROW", Warning, "A row of delimiters only was skipped.",
			",,, on a line", "Nothing: no task is lost.",
		},
		{
			"LITERAL_QUOTE", Warning, "A quotation mark that doesn't enclose a whole cell was kept as a character. Toloka's web upload would drop it.",
			`"Heroes" is a song`, "Nothing if the marks belong to the text; --quotes toloka reads as the web upload does.",
		},
		{
			"HEADER_SPACES", Warning, "A column's name has blanks after its colon; they are left out.",
			"INPUT: image", "Nothing, or remove the blanks.",
		},
		{
			"HEADER_IGNORED", Warning, "A column of downloaded results, or of rejected.tsv, is no part of a task and is left out.",
			"OUTPUT:result, ASSIGNMENT:link, ERROR:code", "Nothing. To use answers as known ones: --map OUTPUT:result=GOLDEN:result.",
		},
		{
			"HINT_WITHOUT_GOLDEN", Warning, "A row has a HINT and no GOLDEN value: it becomes a general task, and performers never see the hint. Only with a known answer it is a training task.",
			"HINT:text filled, GOLDEN:result empty", "Fill a GOLDEN cell of the row, or empty the HINT.",
		},
		{
			"BOOLEAN_CASE", Warning, "TRUE or True was read as true, FALSE or False as false.",
			"TRUE, as Excel writes it", "Nothing, or write true and false.",
		},
		{
			"DUPLICATE_KEY", Warning, "A JSON object has a key twice; what reads it may take either.",
			`{"x":1,"x":2}`, "Remove one of them.",
		},
		{
			"BRACKETED_ARRAY", Warning, "A cell of an array of JSON values holds one array in brackets, which was taken as the array itself.",
			"[1,2] instead of 1,2", "Nothing, if the elements are meant.",
		},
		{
			"PATTERN_UNCHECKED", Warning, "The spec has a pattern that only the server can check.",
			"a pattern that looks ahead: (?=...)", "Nothing: rows that don't match come back as rejected by the server.",
		},
		{
			"TYPE_UNKNOWN", Warning, "The spec gives a field a type that this version doesn't know; its cells are sent as strings.",
			"a type that Toloka has added since", "Upload a few rows first (--limit-rows 10), and look for a newer poolfill.",
		},
		{
			"SENT_UNCHECKED", Warning, "With --trust-server rows are sent that the local check refuses.",
			"a project whose spec has changed since the pool was made", "Nothing: the server decides.",
		},
		{
			"CHANGED_WHILE_READ", Warning, "A file changed while it was read.",
			"a program that still writes to it", "Run the same command again: it uploads what is new in the file.",
		},
		{
			"RUN_FORGOTTEN", Warning, "The ledger has forgotten the runs that uploaded these rows of a backfill.",
			"'poolfill runs prune' before the backfill's report was made", "Nothing: the rows are counted. For files with all rows, prune after 'poolfill backfill report'.",
		},

		{
			"VALUE_REQUIRED", Value, "A required field has no value: its cell is empty, or no column fills it.",
			"image is required, and the column is called imagis or picture", "Fill the cells, or say which column it is: --map COLUMN=INPUT:field.",
		},
		{
			"VALUE_NOT_ALLOWED", Value, "The project has no such field.",
			"INPUT:imagis in a project with the field image", "Rename the column, or use --map COLUMN=INPUT:field or --ignore-column.",
		},
		{
			"STRING_EXPECTED", Value, "The field takes a text.",
			"a number where the project asks for a string; --no-spec sends all as strings", "Check with --pool, so that values are sent by the project's types.",
		},
		{
			"INTEGER_EXPECTED", Value, "The field takes a whole number of at most 64 bits.",
			"7.5, 1 000 or 12 cm", "Write digits only, without a fraction or a unit.",
		},
		{
			"FLOAT_EXPECTED", Value, "The field takes a number with a decimal point.",
			"7,50, as a spreadsheet in many languages writes it", "Write digits and a decimal point only; a spreadsheet exports them so with English number formats.",
		},
		{
			"BOOLEAN_EXPECTED", Value, "The field takes true or false.",
			"yes, 1 or X", "Write true or false.",
		},
		{
			"JSON_EXPECTED", Value, "The field takes JSON, and the cell's text isn't.",
			"{x: 1}: the key has no quotes", `Write JSON, such as {"x": 1}; in CSV its quotes are doubled inside a quoted cell: "{""x"": 1}".`,
		},
		{
			"ARRAY_EXPECTED", Value, "The field takes several values parted by commas, and the cell can't be cut into them.",
			`cat,,dog (an empty element), or cat,"dog (a quote without an end)`, `Part the elements by one comma each. An element with a comma stands in quotes: cat,"white, mostly".`,
		},
		{
			"INVALID_URL_SYNTAX", Value, "The field takes a URL: it must begin with http://, https:// or www.",
			"example.com/1.jpg, or a file's path", "Write the whole address, from https:// on. A file must be on a server first.",
		},
		{
			"INVALID_COORDINATES_SYNTAX", Value, "The field takes latitude,longitude in degrees, -90 to 90 and -180 to 180, with decimal points.",
			"55,75,37,61: decimal commas", "Write decimal points, and one comma between the two numbers, such as 55.75,37.61.",
		},
		{
			"PATTERN_MISMATCH", Value, "The value doesn't match the field's pattern; the whole of it must.",
			"ab-12 for the pattern [a-z]+", "Mend the value (blanks around it count), or the pattern in the project.",
		},
		{
			"UNKNOWN_ENUM_VALUE", Value, "The value is none of those that the field allows. Capitals and blanks count.",
			`"Cat" where "cat" and "dog" are allowed`, "Write one of the allowed values, or add this one to the project.",
		},
		{
			"VALUE_OUT_OF_BOUNDS", Value, "The number is outside of the field's bounds.",
			"an overlap of 40,000", "Write a number within the bounds.",
		},
		{
			"VALUE_LESS_THAN_MIN", Value, "The number is less than the field allows.",
			"-3 where the least is 0", "Mend the value, or the bound in the project.",
		},
		{
			"VALUE_GREATER_THAN_MAX", Value, "The number is greater than the field allows.",
			"101 where the most is 100", "Mend the value, or the bound in the project.",
		},
		{
			"STRING_LENGTH_LESS_THAN_MIN", Value, "The text is shorter than the field allows.",
			"a where at least 2 characters are asked for", "Mend the value, or the bound in the project.",
		},
		{
			"STRING_LENGTH_GREATER_THAN_MAX", Value, "The text is longer than the field allows.",
			"a text of 300 characters where 200 are allowed", "Shorten the text, or raise the bound in the project. Check that no quote swallows other cells.",
		},
		{
			"ARRAY_SIZE_LESS_THAN_MIN", Value, "The array has fewer elements than the field allows.",
			"cat where at least 2 are asked for", "Add elements, parted by commas.",
		},
		{
			"ARRAY_SIZE_GREATER_THAN_MAX", Value, "The array has more elements than the field allows. Often a comma belongs to an element.",
			"cat,white, mostly: three elements", `Put an element with a comma in quotes: cat,"white, mostly".`,
		},
		{
			"OBJECT_SIZE_BYTES_GREATER_THAN_MAX", Value, "The task is larger than a request may be: 1,048,576 bytes of input values, 4,194,304 of output values.",
			"a picture as text in a cell", "Shorten the values; put large ones on a server and send their URL.",
		},
		{
			"EMPTY_OBJECT_NOT_ALLOWED", Value, "The task has no input value: all its INPUT cells are empty.",
			"a row with only a GOLDEN value", "Fill a cell, or remove the row.",
		},
		{
			"REJECTED", Value, "The server refused the row and gave no reason.",
			"an answer without a message", "Upload the row alone (rejected.tsv has it). If it is refused again, ask Toloka's support.",
		},
		{
			"REQUEST_TOO_LARGE", Value, "The server finds even this row alone too large.",
			"a picture as text in a cell", "Shorten it; put large values on a server and send their URL.",
		},
		{
			"REQUEST_ENTITY_TOO_LARGE", Value, "The server finds even this row alone too large.",
			"a picture as text in a cell", "Shorten it; put large values on a server and send their URL.",
		},

		{
			"MIXER_CONFIG_REQUIRED", Plan, "The pool has no smart mixing (mixer_config), so that it takes task suites only and no tasks.",
			"a pool whose suites are made by hand", "Choose smart mixing in the pool's settings.",
		},
		{
			"INAPPROPRIATE_STATUS", Plan, "The pool's status doesn't allow it: mostly it is archived.",
			"an upload to an archived pool", "Clone the pool, or name another one with --pool.",
		},
		{
			"POOL_TASKS_COUNT_EXCEEDED", Plan, "The pool would have more than 1,000,000 tasks.",
			"1,200,000 rows for one pool", "Make more pools like it, and upload a part to each (--skip-rows, --limit-rows).",
		},
		{
			"POOL_LOCKED", Plan, "Another operation holds the pool.",
			"a pool that is being opened or archived", "Wait until that has ended.",
		},
		{
			"POOL_LOCKED_BY_ANOTHER_OPERATION", Plan, "Another operation holds the pool.",
			"a pool that is being opened or archived", "Nothing: an upload tries again by itself. If it lasts, look at the pool in Toloka.",
		},
		{
			"EMPTY_POOL", Plan, "A pool without tasks can't be opened.",
			"--open-pool, and every row was rejected", "Upload valid rows first.",
		},
		{
			"TRAINING_POOL", Plan, "The pool is a training pool, whose tasks all have a known answer and a hint, and the files have others.",
			"rows without GOLDEN and HINT for a training pool", "Name another pool with --pool, or fill GOLDEN and HINT of every row.",
		},
		{
			"CONTROL_SHARE", Plan, "There are fewer control tasks (rows with a GOLDEN value) than Toloka advises: at least 1%, and 5 to 10% in a small pool.",
			"3 control tasks among 1,000", "Fill the GOLDEN cells of more rows. What the pool has already is not counted.",
		},
		{
			"MIXER_MISMATCH", Plan, "The pool's suites are to have control or training tasks and the files have none, or the other way round.",
			"golden_tasks_count 1, and no GOLDEN cell is filled", "Fill GOLDEN (and HINT) cells, or change the mixer_config in the pool's settings.",
		},
		{
			"BALANCE_TOO_LOW", Plan, "The tasks cost more than the account has.",
			"a cost of 120.00 and a balance of 100.00", "Pay in, or upload in parts. Tasks can be uploaded all the same; the pool stops when the money is used up.",
		},
		{
			"OVERLAP_INFINITE", Plan, "General tasks have an infinite overlap: performers get and are paid for them until the pool is closed.",
			"TASK:overlap infinite in a row without a GOLDEN value", "Write a number, or leave the cell empty for the pool's default.",
		},

		{
			"VALIDATION_ERROR", Request, "The server finds something in the request invalid.",
			"a row that doesn't fit the project", "See the message and the rows that it names; poolfill check finds most of it beforehand.",
		},
		{
			"AUTHENTICATION_ERROR", Request, "The server doesn't take the token.",
			"a token of the sandbox for the production server", "Check TOLOKA_TOKEN or --token-file, and --sandbox.",
		},
		{
			"ACCESS_DENIED", Request, "The token's account may not do that.",
			"another requester's pool", "Check the pool's id and the rights of the token; --act-under-account names another account.",
		},
		{
			"DOES_NOT_EXIST", Request, "There is no such pool, project or operation on this server.",
			"the id of a project instead of a pool's", "Check --pool, and whether it is in the sandbox (--sandbox).",
		},
		{
			"OPERATION_ALREADY_EXISTS", Request, "The server has this chunk already: a repeated request creates nothing twice.",
			"a request whose answer was lost", "Nothing: the upload asks what became of it.",
		},
		{
			"OPERATION_LOGS_ARCHIVED", Request, "The log of an operation is gone: the server keeps logs for a month.",
			"a run that is continued after two months", "Nothing: the pool is searched for the tasks instead.",
		},
		{
			"TOO_MANY_REQUESTS", Request, "A quota of the account is used up.",
			"another program that uses the same account", "Nothing: the upload waits as long as the server asks. Lower --tasks-per-minute if it comes often.",
		},
		{
			"INTERNAL_ERROR", Request, "The server failed.",
			"a short disturbance", "Nothing: the request is repeated for --retry-for. If it lasts, run the same command later.",
		},
		{
			"REMOTE_SERVICE_UNAVAILABLE", Request, "A part of the server can't be reached.",
			"a short disturbance", "Nothing: the request is repeated for --retry-for. If it lasts, run the same command later.",
		},
	}
}
