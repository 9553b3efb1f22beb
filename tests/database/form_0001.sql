BEGIN TRANSACTION;
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
INSERT INTO "artifacts" VALUES('a1','r1','',NULL,NULL,'report','markdown',X'222320486922','',101.0,101.0);
CREATE TABLE batches (
	execution_id TEXT NOT NULL, 
	number BIGINT NOT NULL, 
	worker TEXT NOT NULL, 
	started DOUBLE NOT NULL, 
	seconds DOUBLE NOT NULL, 
	count BIGINT NOT NULL, 
	CONSTRAINT batches_key PRIMARY KEY (execution_id, number)
);
INSERT INTO "batches" VALUES('e1',1,'w',100.0,0.5,3);
CREATE TABLE dataflow_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT dataflow_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "dataflow_version" VALUES('0001');
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
INSERT INTO "executions" VALUES('e1','r1',2,'',100.0,105.5,105.0,'h b n 1 2','','ada','','{}',0);
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
INSERT INTO "logs" VALUES('e1',0,101.0,102.0,20,1,X'01',7);
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
	collection TEXT DEFAULT '' NOT NULL, 
	store TEXT DEFAULT '' NOT NULL, 
	uses TEXT DEFAULT '[]' NOT NULL, 
	rules TEXT DEFAULT '{}' NOT NULL, 
	CONSTRAINT nodes_key PRIMARY KEY (execution_id, number)
);
INSERT INTO "nodes" VALUES('e1',0,'load','load',1,3,2,3,'{"2": 3}',0.0,NULL,NULL,'','','','["x"]','{}');
INSERT INTO "nodes" VALUES('e1',1,'total','total',0,NULL,3,0,'{}',0.0,NULL,NULL,'no','','','[]','{}');
CREATE TABLE run_states (
	run_id TEXT NOT NULL, 
	time DOUBLE NOT NULL, 
	state BIGINT NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	message TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT run_states_key PRIMARY KEY (run_id, time, state, name)
);
INSERT INTO "run_states" VALUES('r1',100.0,1,'','');
INSERT INTO "run_states" VALUES('r1',105.5,2,'','done');
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
INSERT INTO "runs" VALUES('r1','etl','etl',2,'',100.0,105.5,'function','','','{"x": "ü''1"}','[]','',X'0001','');
INSERT INTO "runs" VALUES('r2','etl','etl',1,'',200.0,NULL,'function','r1','','{}','[]','',NULL,'');
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
INSERT INTO "segments" VALUES('e1',0,0,3,1,0,0,NULL,X'020203',NULL,NULL,NULL,0.0);
CREATE INDEX runs_by_started ON runs (started);
CREATE INDEX runs_by_flow_started ON runs (flow, started);
CREATE INDEX runs_by_parent ON runs (parent);
CREATE INDEX executions_by_run_id ON executions (run_id);
CREATE INDEX artifacts_by_run_id ON artifacts (run_id);
CREATE INDEX artifacts_by_key_updated ON artifacts ("key", updated);
COMMIT;
