-- Views over the tables of many hosts, after hone.sql (DuckDB) or spark.sql (Spark): the same file for both. docs/fleet.md has questions.

-- Each host, by the name that it had last. A host id stays when the name changes.
CREATE OR REPLACE TEMPORARY VIEW hosts AS
SELECT
    host,
    max_by(CASE WHEN os LIKE 'Linux %' THEN split_part(os, ' ', 2) ELSE host END, coalesce(last_packet_ns, 0)) AS host_name,
    max_by(os, coalesce(last_packet_ns, 0)) AS os,
    count(DISTINCT os) AS systems,
    count(DISTINCT boot) AS boots,
    min(first_packet) AS first_packet,
    max(last_packet) AS last_packet,
    sum(packets) AS packets,
    sum(dropped) AS dropped
FROM sections
GROUP BY host;

-- What one process exchanged with one remote end by one connection, through all sections and files: the sums of its rows.
CREATE OR REPLACE TEMPORARY VIEW flows AS
SELECT
    host,
    connection_uid,
    process_uid,
    community_id,
    protocol,
    local_address,
    coalesce(local_port, 0) AS local_port,
    remote_address,
    coalesce(remote_port, 0) AS remote_port,
    local_address LIKE '127.%' OR local_address = '::1' AS is_loopback,
    min(pid) AS pid,
    min(process_name) AS process_name,
    min(transport) AS transport,
    -- A SYN says more than the first packet of a section that began in the middle.
    coalesce(min(CASE WHEN initiated_by = 'syn' THEN initiated END), min(initiated)) AS initiated,
    min(opened_ns) AS opened_ns,
    min(first_packet_ns) AS first_ns,
    max(last_packet_ns) AS last_ns,
    min(first_packet) AS first_packet,
    max(last_packet) AS last_packet,
    min(name) AS name,
    sum(packets_out) AS packets_out,
    sum(packets_in) AS packets_in,
    sum(bytes_out) AS bytes_out,
    sum(bytes_in) AS bytes_in
FROM connections
WHERE community_id IS NOT NULL AND first_packet_ns IS NOT NULL
GROUP BY host, connection_uid, process_uid, community_id, protocol, local_address, local_port, remote_address, remote_port;

-- Who was at the other end: each flow with the flow of the other end, which the same host or another one recorded.
--  * Both have the same protocol, addresses and ports, so the same Community ID, and each end is the other's remote end.
--  * Both were there at the same time. Clocks of two hosts may differ by up to 5 seconds.
--  * The same host comes first: 127.0.0.1 and the addresses of containers are in use on many hosts at the same time.
--  * Where TCP's ports were used again within those seconds, it is the connection that was opened nearest in time.
CREATE OR REPLACE TEMPORARY VIEW both_ends AS
SELECT
    host, process_name, process_uid, pid, connection_uid, transport, local_address, local_port, remote_address, remote_port,
    initiated, first_packet, last_packet, bytes_out, bytes_in, name, community_id,
    other_host, other_process_name, other_process_uid, other_pid, other_connection_uid, clock_difference_ns
FROM (
    SELECT
        here.*,
        there.host AS other_host,
        there.process_name AS other_process_name,
        there.process_uid AS other_process_uid,
        there.pid AS other_pid,
        there.connection_uid AS other_connection_uid,
        there.first_ns - here.first_ns AS clock_difference_ns,
        rank() OVER (
            -- One flow. With all of its columns here, a condition on one of them reaches the files of both ends.
            PARTITION BY here.connection_uid, here.process_uid, here.community_id, here.host, here.protocol,
                here.local_address, here.local_port, here.remote_address, here.remote_port
            ORDER BY
                CASE WHEN there.host = here.host THEN 0 ELSE 1 END,
                CASE WHEN here.protocol = 6
                    THEN abs(coalesce(there.opened_ns, there.first_ns) - coalesce(here.opened_ns, here.first_ns)) ELSE 0 END
        ) AS place
    FROM flows here
    JOIN flows there
        ON here.community_id = there.community_id
        AND here.protocol = there.protocol
        AND here.local_address = there.remote_address AND here.local_port = there.remote_port
        AND here.remote_address = there.local_address AND here.remote_port = there.local_port
        AND here.connection_uid <> there.connection_uid
        AND there.first_ns <= here.last_ns + 5000000000
        AND here.first_ns <= there.last_ns + 5000000000
        AND (here.host = there.host OR NOT here.is_loopback)
) pairs
WHERE place = 1;

-- A guess, for clients behind a translator of source addresses (NAT): the server's row has the translator's address, so both_ends finds
-- nothing. These two had the same server's end, and began within a second. `candidates` says how many connections of clients there are to
-- choose from: with more than one, it is not known.
CREATE OR REPLACE TEMPORARY VIEW behind_nat AS
WITH alone AS (
    SELECT flows.* FROM flows ANTI JOIN both_ends ON flows.connection_uid = both_ends.connection_uid
    WHERE NOT flows.is_loopback
),
pairs AS (
    SELECT
        server.host, server.process_name, server.process_uid, server.pid, server.connection_uid, server.transport,
        server.local_address, server.local_port,
        server.remote_address AS translated_address, server.remote_port AS translated_port,
        client.local_address AS client_address, client.local_port AS client_port,
        client.host AS client_host, client.process_name AS client_process_name, client.process_uid AS client_process_uid,
        client.pid AS client_pid, client.connection_uid AS client_connection_uid
    FROM alone server
    JOIN alone client
        ON server.protocol = client.protocol
        AND server.local_address = client.remote_address AND server.local_port = client.remote_port
        AND server.initiated = 'remote' AND client.initiated = 'local'
        AND server.host <> client.host
        AND abs(server.first_ns - client.first_ns) < 1000000000
)
SELECT pairs.*, counts.candidates
FROM pairs
JOIN (SELECT connection_uid, count(DISTINCT client_connection_uid) AS candidates FROM pairs GROUP BY connection_uid) counts
    ON pairs.connection_uid = counts.connection_uid;

-- Programs with what they ran from. `program` is the hash of the file where it is known, else its path: the same file has one key on
-- all hosts, whatever its name is.
CREATE OR REPLACE TEMPORARY VIEW programs AS
SELECT
    coalesce(sha256, path) AS program,
    host,
    path,
    name,
    sha256,
    process_uid,
    pid,
    parent_uid,
    command_line,
    user_name,
    unit,
    container,
    started,
    ended
FROM processes
WHERE path <> '';

-- Which program of which host exchanged what with which remote end, from when to when.
CREATE OR REPLACE TEMPORARY VIEW contacts AS
SELECT
    connections.host,
    programs.program,
    programs.path,
    connections.process_name,
    connections.transport,
    connections.remote_address,
    CASE WHEN connections.initiated = 'local' THEN connections.remote_port END AS server_port,
    CASE WHEN connections.initiated = 'remote' THEN connections.local_port END AS own_port,
    connections.name,
    connections.initiated,
    min(connections.first_packet) AS first_packet,
    max(connections.last_packet) AS last_packet,
    count(DISTINCT connections.connection_uid) AS connections,
    sum(connections.bytes_out) AS bytes_out,
    sum(connections.bytes_in) AS bytes_in
FROM connections
LEFT JOIN programs ON connections.process_uid = programs.process_uid
WHERE connections.first_packet_ns IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10;

-- Each program of the fleet: where and when it was first seen, and on how many hosts. A process that ran before it was recorded counts
-- from its start.
CREATE OR REPLACE TEMPORARY VIEW first_seen_programs AS
SELECT
    program,
    min_by(path, started) AS path,
    min_by(host, started) AS first_host,
    min_by(command_line, started) AS first_command_line,
    min(started) AS first_started,
    count(DISTINCT host) AS hosts,
    count(*) AS runs
FROM programs
GROUP BY program;

-- What programs of the fleet connected to, by name where one is known, and how many hosts did. Ends within the fleet are left out.
CREATE OR REPLACE TEMPORARY VIEW destinations AS
SELECT
    coalesce(contacts.name, contacts.remote_address) AS destination,
    contacts.server_port,
    count(DISTINCT contacts.host) AS hosts,
    min(contacts.host) AS a_host,
    min(contacts.process_name) AS a_process,
    min(contacts.first_packet) AS first_packet,
    sum(contacts.connections) AS connections,
    sum(contacts.bytes_out) AS bytes_out
FROM contacts
ANTI JOIN (SELECT DISTINCT local_address FROM connections) own ON contacts.remote_address = own.local_address
WHERE contacts.initiated = 'local'
GROUP BY 1, 2;

-- One host id, two machines: they recorded under different boots at the same time. Most often a copied disk with its /etc/machine-id.
CREATE OR REPLACE TEMPORARY VIEW shared_host_ids AS
SELECT a.host, a.boot AS boot, b.boot AS other_boot, max(a.os) AS os, max(b.os) AS other_os
FROM sections a
JOIN sections b
    ON a.host = b.host AND a.boot < b.boot
    AND a.first_packet_ns <= b.last_packet_ns AND b.first_packet_ns <= a.last_packet_ns
GROUP BY a.host, a.boot, b.boot;
