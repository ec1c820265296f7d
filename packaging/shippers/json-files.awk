# The part of json-files that writes: files of at most `most` MiB in `folder`, and at most `lines` packets a second by their own time.
# Each line gets the id of its host, which honeutil names once in a section. hone.json is the present file; the finished ones are hone.json.1 (the newest) and so on, `files` of them. All are renamed, never cut.

function quoted(path) {
	gsub(/'/, "'\\''", path)
	return "'" path "'"
}

# Ends the file, and makes room for the next.
function rotate(   number) {
	close(name)
	command = "rm -f -- " quoted(name "." files)
	for (number = files - 1; number >= 0; number--) {
		from = number ? name "." number : name
		command = command "; [ ! -e " quoted(from) " ] || mv -- " quoted(from) " " quoted(name "." number + 1)
	}
	if (system(command) != 0) {
		print "json-files: cannot rename the files in " folder > "/dev/stderr"
		exit 1
	}
	bytes = 0
}

function put(line) {
	if (bytes > 0 && bytes + length(line) + 1 > limit)
		rotate()
	print line >> name
	bytes += length(line) + 1
}

# Says how many packets of a second were left out.
function tell() {
	if (left > 0)
		put((host == "" ? "{" : host) "\"@timestamp\":\"" second "Z\",\"event\":{\"kind\":\"metric\",\"action\":\"packets-left-out\"},\"hone\":{\"packets_left_out\":" left "}}")
	left = 0
}

BEGIN {
	name = folder "/hone.json"
	limit = most * 1048576
	# A file of an earlier run is finished.
	rotate()
}

{
	if (match($0, /"host":\{"id":"[^"]*"/))
		host = "{" substr($0, RSTART, RLENGTH) "},"
	else if (host != "")
		$0 = host substr($0, 2)
	now = match($0, /"@timestamp":"[^"]*"/) ? substr($0, RSTART + 14, 19) : second
	if (now != second) {
		tell()
		second = now
		packets = 0
	}
	if ($0 ~ /"action":"packet"/ && ++packets > lines)
		left++
	else
		put($0)
	# Shippers wait for whole lines; honeutil does not write in between.
	fflush(name)
}

END {
	tell()
	close(name)
}
