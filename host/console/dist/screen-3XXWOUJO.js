import{h as e}from"/console/chunk-QNCEEGCY.js";function r(){return e`<div class="page"><header class="page-head"><h1>Doctor</h1></header></div>`}export{r as default};
