-- Headers of a hook's requests whose values attempts do not show, besides those that carry secrets by their name.

ALTER TABLE hooks ADD COLUMN masked_headers TEXT NOT NULL DEFAULT '[]';    -- JSON: ["name", …]
