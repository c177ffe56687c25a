import{j as o}from"/console/chunk-43UK7QMN.js";var p=({text:c})=>o`${c.split("`").map((m,t)=>t%2===1?o`<code key=${t}>${m}</code>`:m)}`;export{p as a};
