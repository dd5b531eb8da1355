/* The tables of an empty database. A second run fails; the files of data/ then double what they insert. */
CREATE TABLE users(
	MID         BIGINT unsigned,
	Password    VARCHAR(200),
	Salt        VARCHAR(200) DEFAULT '',
	Role        enum('patient','admin','hcp','uap','er','tester','pha','lt') NOT NULL DEFAULT 'admin',
	PRIMARY KEY (MID)
) ENGINE=MyISAM;

CREATE TABLE Hospitals(
	HospitalID   varchar(10),
	HospitalName varchar(30) NOT NULL
) ENGINE=MyISAM;

CREATE TABLE personnel(
	MID         BIGINT unsigned NOT NULL,
	lastName    varchar(20) NOT NULL DEFAULT '',
	firstName   varchar(20) NOT NULL DEFAULT '',
	PRIMARY KEY (MID)
) ENGINE=MyISAM;

CREATE TABLE loginFailures(
	IPAddress    varchar(100) NOT NULL,
	failureCount int NOT NULL DEFAULT 0,
	lastFailure  TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
	PRIMARY KEY (IPAddress)
) ENGINE=MyISAM;

CREATE TABLE Notes(
	noteID      BIGINT unsigned AUTO_INCREMENT,
	MID         BIGINT unsigned NOT NULL,
	text        varchar(200) NOT NULL,
	PRIMARY KEY (noteID),
	KEY (text)
) ENGINE=MyISAM;
