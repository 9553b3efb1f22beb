-- What a new SQLite file begins with. Made by `python -m dataflow.database.tables`; a test says if it is old.
CREATE TABLE artifacts (
	id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	execution_id TEXT DEFAULT '' NOT NULL, 
	node BIGINT, 
	element BIGINT, 
	"key" TEXT DEFAULT '' NOT NULL, 
	kind TEXT NOT NULL, 
	data BLOB NOT NULL, 
	description TEXT DEFAULT '' NOT NULL, 
	created DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	CONSTRAINT artifacts_key PRIMARY KEY (id)
);
CREATE TABLE batches (
	execution_id TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	worker TEXT NOT NULL, 
	started DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	count BIGINT NOT NULL, 
	CONSTRAINT batches_key PRIMARY KEY (execution_id, number)
);
CREATE TABLE executions (
	id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	state BIGINT NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	started DOUBLE NOT NULL, 
	ended DOUBLE, 
	heartbeat DOUBLE NOT NULL, 
	process TEXT NOT NULL, 
	host TEXT DEFAULT '' NOT NULL, 
	user TEXT DEFAULT '' NOT NULL, 
	cluster TEXT DEFAULT '' NOT NULL, 
	facts TEXT DEFAULT '{}' NOT NULL, 
	lost BIGINT DEFAULT 0 NOT NULL, 
	CONSTRAINT executions_key PRIMARY KEY (id)
);
CREATE TABLE logs (
	execution_id TEXT NOT NULL, 
	node BIGINT, 
	first_time DOUBLE NOT NULL, 
	last_time DOUBLE NOT NULL, 
	highest_level BIGINT NOT NULL, 
	count BIGINT NOT NULL, 
	lines BLOB NOT NULL, 
	number BIGINT NOT NULL, 
	CONSTRAINT logs_key PRIMARY KEY (execution_id, number)
);
CREATE TABLE nodes (
	execution_id TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	slug TEXT NOT NULL, 
	task TEXT NOT NULL, 
	is_mapped BOOLEAN NOT NULL, 
	length BIGINT, 
	state BIGINT NOT NULL, 
	done BIGINT DEFAULT 0 NOT NULL, 
	counts TEXT DEFAULT '{}' NOT NULL, 
	seconds DOUBLE DEFAULT 0 NOT NULL, 
	started DOUBLE, 
	ended DOUBLE, 
	message TEXT DEFAULT '' NOT NULL, 
	causes TEXT DEFAULT '[]' NOT NULL, 
	collection TEXT DEFAULT '' NOT NULL, 
	store TEXT DEFAULT '' NOT NULL, 
	uses TEXT DEFAULT '[]' NOT NULL, 
	rules TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT nodes_key PRIMARY KEY (execution_id, number)
);
CREATE TABLE plain_nodes (
	execution_id TEXT NOT NULL, 
	first BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	count BIGINT NOT NULL, 
	columns BLOB NOT NULL, 
	CONSTRAINT plain_nodes_key PRIMARY KEY (execution_id, first)
);
CREATE TABLE requests (
	id TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	"key" TEXT DEFAULT '' NOT NULL, 
	body TEXT DEFAULT '{}' NOT NULL, 
	asked DOUBLE NOT NULL, 
	answered DOUBLE, 
	answer TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT requests_key PRIMARY KEY (id)
);
CREATE TABLE run_states (
	run_id TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	state BIGINT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT run_states_key PRIMARY KEY (run_id, time, state, name)
);
CREATE TABLE runs (
	id TEXT NOT NULL, 
	flow TEXT NOT NULL, 
	name TEXT NOT NULL, 
	state BIGINT NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	started DOUBLE NOT NULL, 
	ended DOUBLE, 
	door TEXT DEFAULT 'function' NOT NULL, 
	parent TEXT DEFAULT '' NOT NULL, 
	parent_place TEXT DEFAULT '' NOT NULL, 
	parameters TEXT DEFAULT '{}' NOT NULL, 
	tags TEXT DEFAULT '[]' NOT NULL, 
	entrypoint TEXT DEFAULT '' NOT NULL, 
	arguments BLOB, 
	store TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT runs_key PRIMARY KEY (id)
);
CREATE TABLE segments (
	execution_id TEXT NOT NULL, 
	node BIGINT NOT NULL, 
	start BIGINT NOT NULL, 
	stop BIGINT NOT NULL, 
	batch BIGINT, 
	step BIGINT DEFAULT 0 NOT NULL, 
	"offset" BIGINT DEFAULT 0 NOT NULL, 
	state BIGINT, 
	states BLOB, 
	seconds BLOB, 
	keys BLOB, 
	rare BLOB, 
	before_seconds DOUBLE DEFAULT 0 NOT NULL, 
	CONSTRAINT segments_key PRIMARY KEY (execution_id, node, start)
);
CREATE TABLE dataflow_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT dataflow_version_pkc PRIMARY KEY (version_num)
);
CREATE INDEX artifacts_by_key_updated ON artifacts ("key", updated);
CREATE INDEX artifacts_by_run_id ON artifacts (run_id);
CREATE INDEX executions_by_run_id ON executions (run_id);
CREATE INDEX requests_by_run_id_answered ON requests (run_id, answered);
CREATE INDEX runs_by_flow_started ON runs (flow, started);
CREATE INDEX runs_by_parent ON runs (parent);
CREATE INDEX runs_by_started ON runs (started);
INSERT INTO dataflow_version (version_num) VALUES ('0003');
